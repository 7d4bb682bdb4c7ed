"""Digits, letters and marks without a space between them."""

import re

from orpheus_server.text.english.rules import compile_rules

OPENING = frozenset("([{<“‘«$£€¥₹₩")
# Single marks within a word or number that gruut reads or that have their own rule.
INNER = frozenset("'’-.,:/")


def _unglue(match: re.Match[str]) -> str:
    marks = match[0]
    if marks in INNER:
        return marks
    at = next((i for i, mark in enumerate(marks) if mark in OPENING), len(marks))
    return f"{marks[:at]} {marks[at:]}"


def _dotted(match: re.Match[str]) -> str:
    """Rewrites grouped thousands, dates (with dots the day comes first) and versions."""
    first, *others = match[0].split(".")
    if len(first) <= 3 and all(len(part) == 3 for part in others) and others[-1] == "000":
        return first + "".join(others)
    if len(first) <= 2 and [len(part) for part in others] == [2, 4] and "01" <= others[0] <= "12":
        return f"{others[1]}-{others[0]}-{first.zfill(2)}"
    return " point ".join((first, *others))


ADDRESSES = compile_rules(
    (r"(?<=[a-z]{2})\.(?=[a-z]{2})|(?<=@[a-z])\.(?=[a-z]{2})", " dot "),  # example.com, node.js
    (r" ?@ ?", " at "),
)
SIGNS = compile_rules(
    (r"(?<=[\d&])A\b\.?", " A."),  # with a dot gruut reads a letter, without it the article
    (r"\bA(?=[\d&])", "A. "),
    (r" ?& ?", " and "),
    (r"(?<=[\w)]) {0,2}= ?(?=[\w(-])", " equals "),
    (r"(?<=\d) ?\+ ?|\+(?=\d)|(?<=\w) {1,2}\+ (?=\w)", " plus "),
    (r"#(?=\d)", " number "),
    (r"~(?=\d)", " about "),
    (r"(?<=\d) %", "%"),
    (r" ?° ?C\b", " degrees Celsius"),
    (r" ?° ?F\b", " degrees Fahrenheit"),
    (r" ?°", " degrees"),
    (r"(?<![\d.])\d+(?:\.\d+){2,}(?!\d)", _dotted),
    (r"(?<=\d)(?:[Ss][Tt]|[Nn][Dd]|[Rr][Dd]|[Tt][Hh])\b", lambda match: match[0].lower()),
    (r"(?<=\w)\^(?=\w)", " caret "),
    (r"(?<=\d)(?<!\b0)x(?=\d)", " by "),
    (r"(?<=\d)['’](?=\d)", " foot "),
)
LETTERS = compile_rules(
    (r"(?<=\d)(st|nd|rd|th)-(?=\w)", r"\1 "),  # gruut drops what follows: "20th-century"
    (
        r"(?<=\d)(?!(?:st|nd|rd|th|(?i:[ap]\.?m))\b)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)",
        " ",
    ),
)
# What only gruut needs.
RULES = compile_rules(
    (r"(?<=[^\W\d_])/(?=\w)|(?<=\w)/(?=[^\W\d_])", " "),
    (r"(?<=\w)[^\w\s]+(?=\w)", _unglue),
)
