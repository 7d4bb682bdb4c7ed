"""Stops, dashes and commas: one mark for a pause, with a space after it."""

import re

from orpheus_server.text.english.rules import compile_rules


def _stop(match: re.Match[str]) -> str:
    """Reduces several stops to one; dots within a sentence become a comma."""
    stops, following = match.groups()
    stop = "?" if "?" in stops else "!" if "!" in stops else "," if following.islower() else "."
    return stop + " " * match.string[match.end() : match.end() + 1].isalnum()


def _dash(match: re.Match[str]) -> str:
    """Turns a dash into a comma, or removes it next to a stop or at either end."""
    before = match.string[: match.start()][-1:]
    after = match.string[match.end() :][:1]
    if before in {"", *"\n.,;:!?“‘(["} or after in {"", *"\n.,;:!?"}:
        return " " if before and after.isalnum() else ""
    return "," if after in {*'"”’)]'} else ", "


RULES = compile_rules(
    (r"\bPh\.D\b", "P.H.D"),
    # The lookbehind spares the dot of "U.S.?".
    (r"(?<!\.[A-Za-z])([.!?]{2,})(?=\s{0,2}[\"”’)]?\s?(\w?))", _stop),
    (r"(?<=\.[A-Za-z]\.)(?=[!?])", " "),  # gruut reads "U.S.?" as one word
    (r"(?<=[\d%]) ?– ?(?=[$£€¥]?\d)|(?<=\d)-(?=[$£€¥]\d)", " to "),
    (r"(?<!-)--(?:-(?!-)|(?!-))", "—"),
    (r" ?[–—]+ ?", _dash),
    (r"(?<=[a-z]{2})\.(?=[A-Z])|(?<=[a-z])\.(?=[A-Z][a-z])", ". "),
    (r"(?<=[^\W_])[,:](?=[^\W\d_])|(?<=[^\W\d_])[,:](?=\d)", r"\g<0> "),
    (r"(?<=\d),(?=\d)(?!\d{3}(?!\d))", ", "),  # no thousands: gruut would read 1,2 as 12
)
