"""Dates with the name of a month, ranges of years, and time stamps.

"May 4" and "May 4, 1987" stay as they are, because the bundled voice was trained on "May four".
"""

import re

from orpheus_server.text.english.numerals import cardinal, ordinal
from orpheus_server.text.english.rules import any_of, compile_rules
from orpheus_server.text.english.units import UNITS

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
ABBREVIATED = {name[:3]: name for name in MONTHS} | {"Sept": "September"}
_BY_NAME = {name.lower(): name for name in MONTHS} | {
    short.lower(): name for short, name in ABBREVIATED.items()
}
_SHORT = any_of({*ABBREVIATED} - {"May"})
_ANY = rf"(?:{any_of((*MONTHS, *ABBREVIATED))})"
_DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?P<year>,? ?(?:1\d|20)\d\d)"
_END = r"(?![\w/-]|[.,:]\d)"
TENS = (
    *("hundreds", "tens", "twenties", "thirties", "forties", "fifties", "sixties", "seventies"),
    *("eighties", "nineties"),
)
DAYS = {"Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday"}
DAYS |= {"Thu": "Thursday", "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday"}
DAYS |= {"Sat": "Saturday", "Sun": "Sunday"}


_DAY_NAME = rf"(?:{any_of((*DAYS, *DAYS.values()))})"


def _weekday(name: str) -> str:
    return DAYS.get(name, name)


def _month(name: str) -> str:
    return _BY_NAME[name.rstrip(".").lower()]


def _year(match: re.Match[str]) -> str:
    year = match.groupdict().get("year")
    return f" {year.strip(', ')}" if year else ""


def _day_first(match: re.Match[str]) -> str:
    article = "" if match["article"] else "the "
    day, month = ordinal(int(match["day"])), _month(match["month"])
    return f"{match['article'] or ''}{article}{day} of {month}{_year(match)}"


def _month_first(match: re.Match[str]) -> str:
    return f"{_month(match['month'])} {ordinal(int(match['day']))}{_year(match)}"


def _years(match: re.Match[str]) -> str:
    first, last = match["first"], match["last"]
    is_later = int(last) > int(first[-len(last) :])
    return f"{first} to {last}" if is_later else match[0]


def _decade(match: re.Match[str]) -> str:
    """Rewrites 1990s, 80s and 80's, of which gruut reads only the "s"."""
    century, ten = match["century"] or "", int(match["ten"])
    if ten == 0 and century.endswith("0"):
        return f"{century[0]} thousands"
    return f"{century} {TENS[ten]}".lstrip()


RULES = compile_rules(
    # "May 1 - May 5".
    (rf"(?<=\d) ?[-–] ?(?=(?:{_ANY})\.? [0-3]?\d\b)", " to "),
    (
        rf"(?i)\b({_ANY})\.? ?[-–] ?({_ANY})\b",
        lambda match: f"{_month(match[1])} to {_month(match[2])}",
    ),
    (r"(?<![\w.])((?:19|20)\d\d)\.([01]?\d)\.([0-3]?\d)(?![\w]|\.\d)", r"\1-\2-\3"),
    (rf"\b({any_of(DAYS)})\b\.?(?=,? (?:[0-3]?\d )?(?:{_ANY})\b)", lambda match: DAYS[match[1]]),
    # ISO 8601: the day is read by a later rule, and the second is left out.
    (
        r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d{1,9})?)?(?:Z\b|[+-]\d\d:?\d\d\b)?",
        r"\1, \2",
    ),
    (
        rf"(?i)(?<![\w./:$£€-])(?P<article>the )?{_DAY}(?:st|nd|rd|th)?[ -]"
        rf"(?P<month>(?!(?:may|march|mar|sun)\b(?!,? ?(?:1\d|20)\d\d)){_ANY})\b\.?{_YEAR}?{_END}",
        _day_first,
    ),
    (
        rf"(?<![\w./:$£€-])(?P<article>the )?{_DAY}(?:st|nd|rd|th)? (?P<month>May|March|MAY|MARCH)"
        rf"\b{_YEAR}?{_END}",
        _day_first,
    ),
    (
        rf"\b(?P<month>(?i:{_SHORT}))(?:\. ?| |-){_DAY}(?i:st|nd|rd|th)?{_YEAR}?{_END}",
        _month_first,
    ),
    (
        rf"\b(?P<month>(?i:{any_of(MONTHS)})) {_DAY}(?:st|nd|rd|th)?"
        rf"(?P<year> (?:1\d|20)\d\d){_END}",
        _month_first,
    ),
    (
        rf"\b(?P<month>{any_of(month.lower() for month in MONTHS if month not in ('March', 'May'))}"
        rf"|{any_of(map(str.upper, MONTHS))}) {_DAY}(?P<year>,? (?:1\d|20)\d\d)?{_END}",
        _month_first,
    ),
    (
        rf"(?i)(?<![\w./:$£€-])(?P<article>the )?{_DAY}[-/](?P<month>{_ANY})[-/]"
        r"(?P<year>(?:19|20)?\d\d)"
        r"(?![\w/-]|[.,:]\d)",
        _day_first,
    ),
    # "nov/11/2012".
    (
        rf"(?i)(?<![\w./:-])(?P<month>{_ANY})([-/]){_DAY}\2(?P<year>(?:1\d|20)\d\d)"
        r"(?![\w/-]|[.,:]\d)",
        _month_first,
    ),
    # "25dec".
    (
        rf"(?<![\w./:$£€-]){_DAY}(?P<article>)(?P<month>(?i:{_SHORT}))(?P<year> ?(?:19|20)\d\d)?"
        r"(?![\w'’/-])",
        _day_first,
    ),
    # In small letters "may" and "march" are verbs before another word.
    (
        rf"(?<![\w./:$£€-])(?P<article>the )?{_DAY}(?:st|nd|rd|th)? (?P<month>may|march|mar)"
        r"(?![\w'’/-]|\.\w| [a-z\d])",
        _day_first,
    ),
    (rf"(?<![\w-])(?P<month>may|march) {_DAY}{_END}(?! [a-z\d]|%)", _month_first),
    # Fiscal years and quarters: "Q4'22".
    (r"\b(Q[1-4]|FY|H[12])['’](?=\d\d\b)", r"\1 "),
    (
        r"(?<![\w'’])(['’])0([1-9])(?![\w'’])",
        lambda match: f"{match[1]}oh {cardinal(int(match[2]))}",
    ),
    (
        r"(?<![\w./:-])(0?[1-9]|1[0-2])/((?:19|20)\d\d)(?![\w/-]|[.,:]\d)",
        lambda match: f"{MONTHS[int(match[1]) - 1]} {match[2]}",
    ),
    (
        rf"\b({any_of({*ABBREVIATED} - {'May', 'Jun', 'Jul', 'Mar'})})\.",
        lambda match: _month(match[1]),
    ),
    (rf"(?i)(?<=\bof )({_SHORT})\b", lambda match: _month(match[1])),
    (
        r"(?<![\w.,])(\d{1,15})(?:st|nd|rd|th)(['’]?)s\b",
        lambda match: f"{ordinal(int(match[1]))}{match[2]}s",
    ),
    (rf"(?i)\b({_SHORT})\b\.? (?=(?:19|20)\d\d\b)", lambda match: f"{_month(match[1])} "),
    (rf"\b({_SHORT})\b\.? (?=\d)", lambda match: f"{_month(match[1])} "),
    (
        rf"\b({_DAY_NAME})\.?(?: ?[-–] ?| (?:to|through) )({_DAY_NAME})\b\.?(?! [A-Z]|$)",
        lambda match: f"{_weekday(match[1])} to {_weekday(match[2])}",
    ),
    (
        rf"\b({_DAY_NAME})\.?(?: ?[-–] ?| (?:to|through) )({_DAY_NAME})\b",
        lambda match: f"{_weekday(match[1])} to {_weekday(match[2])}",
    ),
    (
        r"(?<![\w./,-])(?P<first>(?:1\d|20)\d\d) ?[-~] ?(?P<last>(?:1\d|20)?\d\d)"
        rf"(?![\w/-]|[.,:]\d| (?:{any_of(UNITS)})(?![\w'’]))",
        _years,
    ),
    # gruut reads "one hundred and eleventh", which is not American.
    (
        r"(?<![\w.,/-])([1-9](?:\d\d|\d{3}|\d{0,2}(?:,\d{3}){1,3}))(?<!00)(?:st|nd|rd|th)\b",
        lambda match: ordinal(int(match[1].replace(",", ""))).replace(" and ", " "),
    ),
    # "5-th", "21 st", and ranges of ordinals.
    (r"(?<=\d)(?:-|(?<!1\d) (?!st\b))(?=(?:st|nd|rd|th)\b)|(?<=[02-9]1) (?=st\b)", ""),
    (r"(?<=\d)(st|nd|rd|th) ?[-–] ?(?=\d{1,4}(?:st|nd|rd|th)\b)", r"\1 to "),
    (r"(?<=\d0s) ?[-–~] ?(?=['’]?(?:\d\d)?\d0s\b)", " to "),
    (r"(?<![\w.,:])(?:(?P<century>[1-9]\d)|(?=[2-9]))(?P<ten>\d)0['’]?s(?!\w)", _decade),
)  # fmt: skip
