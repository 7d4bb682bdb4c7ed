"""Times of day and durations."""

import re

from orpheus_server.text.english.numerals import cardinal
from orpheus_server.text.english.rules import compile_rules

_HALF = r"(?: ?(?:[ap]m|[AP]M|[ap]\.m\.))"
_HOUR = r"(?:[01]?\d|2[0-3])"
_TIME = rf"(?:{_HOUR}:[0-5]\d{_HALF}?|(?:1[0-2]|0?[1-9]){_HALF})"


def _time_words(hour: int, minute: int) -> str:
    """Returns a time of the 24-hour clock: "seventeen forty five", "fourteen hundred"."""
    if not minute:
        return f"{cardinal(hour)} hundred"
    return f"{cardinal(hour)} {f'oh {cardinal(minute)}' if minute < 10 else cardinal(minute)}"


def _afternoon(match: re.Match[str]) -> str:
    """gruut reads 17:45 as "five forty five"."""
    return _time_words(int(match["hour"]), int(match["minute"]))


def _count(number: int, unit: str) -> str:
    return f"{cardinal(number)} {unit}{'s' * (number != 1)}"


def _with_seconds(match: re.Match[str]) -> str:
    hours, minutes, seconds = (int(match[name]) for name in ("hour", "minute", "second"))
    parts = f"{_count(hours, 'hour')} {_count(minutes, 'minute')}"
    return f"{parts} and {_count(seconds, 'second')}"


def _duration(match: re.Match[str]) -> str:
    parts = [_count(int(match[unit]), unit) for unit in ("hour", "minute", "second") if match[unit]]
    return " ".join(parts)


RULES = compile_rules(
    # "12.30-1.30pm".
    (
        r"(?<![\w.,:/$£€-])(1[0-2]|[1-9])\.([0-5]\d) ?[-–~] ?"
        rf"(?=(?:1[0-2]|[1-9])[.:][0-5]\d{_HALF})",
        r"\1:\2 to ",
    ),
    (rf"(?<![\w.,:$£€-])({_TIME}) ?[-–~] ?(?={_TIME}(?![\w:]))", r"\1 to "),
    (rf"(?<![\w.,:$£€-])(\d\d?) ?[-–~] ?(?=(?:1[0-2]|[1-9]){_HALF}(?![\w:]))", r"\1 to "),
    (r"(?<![\w.,:/-])(1[0-2]|[1-9])\.([0-5]\d) ?(?=[ap]\.?m\b)", r"\1:\2 "),
    # "14h30", "GMT-5".
    (r"(?<![\w.,:/-])([01]?\d|2[0-3])h([0-5]\d)(?![\w:])", r"\1:\2"),
    (r"(?<=\b(?:UTC|GMT)) ?-(?=\d)", " minus "),
    (r"(?<=\d:\d\d:\d\d )([ap])m\b(?!\.)", lambda match: f"{match[1].upper()}M"),
    (r"(?<![\d:.])(\d{1,2} )([ap])m\b(?!\.)", lambda match: f"{match[1]}{match[2].upper()}M"),
    (
        r"(?<![\w.,:/-])(?<![Aa]t )(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)"
        r":(?P<second>[0-5]\d)(?:\.\d{1,6})?"
        rf"(?![\w:/-]|[.,]\d|{_HALF})",
        _with_seconds,
    ),
    (r"(?<![\w.,:/-])(?P<hour>1[3-9]|2[0-4]):(?P<minute>[0-5]\d)(?!\d|:\d|[.,]\d)", _afternoon),
    (
        r"(?<=[\d.mM] )(?:est|edt|pst|pdt|cst|cdt|mst|gmt|cet|cest|bst|utc)\b",
        lambda match: match[0].upper(),
    ),
    (
        r"(?<![\w.,:/-])(?P<hour>\d{1,2}) ?h ?(?P<minute>[0-5]?\d) ?m(?:in)?"
        r"(?: ?(?P<second>[0-5]?\d) ?s)?(?!\w)",
        _duration,
    ),
)
