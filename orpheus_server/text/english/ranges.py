"""Ranges of numbers, as in "5-10 minutes"."""

import re

from orpheus_server.text.english.rules import any_of, compile_rules
from orpheus_server.text.english.units import UNITS, grouped

_NUMBER = r"\d{1,3}(?:,\d{3}){1,4}|\d{1,12}(?:\.\d{1,6})?"


def _range(match: re.Match[str]) -> str:
    """Without a unit, a second number that is not higher belongs to a score or a name."""
    if match["unit"]:
        return f"{grouped(match['first'])} to {match['last']}"
    first, last = (float(match[name].replace(",", "")) for name in ("first", "last"))
    return f"{match['first']} to {match['last']}" if first < last else match[0]


RULES = compile_rules(
    (r"(?<=\d) ?[~～〜] ?(?=\d)", " to "),
    (
        rf"(?<![\w.,:/$£€¥-])(?P<first>{_NUMBER})"
        # With spaces, a dash between two numbers alone may be anything.
        r"(?:-|–|(?: - | – )(?=[\d.,]{1,20}(?:%| [a-z])))"
        rf"(?P<last>(?!0\d)(?:{_NUMBER}))"
        r"(?!\d|[.,:/]\d|-[\dA-Za-z]| ?[=+*/^×÷]| - ?\d)"
        rf"(?=(?P<unit> ?(?:{any_of(UNITS)})(?![\w'’]))?)",
        _range,
    ),
    (r"(?<=#\d)[-–](?=#\d)|(?<=#\d\d)[-–](?=#\d)", " to "),
    (r"(?i)(?<=\bnoon) ?[-–] ?(?=\d)|(?<=\bmidnight) ?[-–] ?(?=\d)", " to "),
    (r"\bA-Z\b", "A. to Z"),
    (r"\ba-z\b", "A. to Z"),
    (r"\b9 ?- ?5(?= (?:job|jobs|shift|shifts|schedule|routine|grind|worker|workday)\b)", "9 to 5"),
    # Units on both sides: "5kg-10kg", "20%-30%", "2 kg - 3 kg".
    (r"(?<=\d (?:kg|km|cm|mm|ms|GB|MB|lb|ft|mi|oz)) ?[-–] ?(?=\d)|(?<=\d%) [-–] (?=\d)", " to "),
    (
        r"(?<=\d[%°])[-–](?=\d)|(?<=\d(?:kg|km|cm|mm|ms|GB|MB))[-–](?=\d)|(?<=\d[kKmM])[-–](?=\d)",
        " to ",
    ),
)
