"""What gruut reads by itself, in words for voices that read letters: numbers, prices, dates."""

import re

from orpheus_server.text.english.dates import MONTHS
from orpheus_server.text.english.numerals import (
    MAX_CARDINAL,
    cardinal,
    digits,
    ordinal,
    pairs,
)
from orpheus_server.text.english.rules import compile_rules

FIRST_YEAR, LAST_YEAR = 1010, 2099


def integer(text: str) -> str:
    """Returns an integer in words, and one that is too long digit by digit."""
    bare = text.replace(",", "")
    return cardinal(int(bare)) if len(bare) < 16 and int(bare) <= MAX_CARDINAL else digits(bare)


def year(number: int) -> str:
    """Returns a year as it is said: "nineteen oh five", "two thousand and five"."""
    return cardinal(number) if number // 10 == 200 else pairs(number)


def _price(match: re.Match[str]) -> str:
    dollars, cents = match["dollars"], int(match["cents"] or 0)
    words = f"{integer(dollars)} dollar{'s' * (dollars != '1')}"
    return words + (f" {cardinal(cents)} cent{'s' * (cents != 1)}" if cents else "")


def _date(match: re.Match[str]) -> str:
    month, day = int(match["month"]), int(match["day"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        # Not a date, but three numbers.
        return re.sub(r"\D", " ", match[0])
    return f"{MONTHS[month - 1]} {ordinal(day)}, {year(int(match['year']))}"


def _parts(match: re.Match[str]) -> tuple[str, str]:
    hour, _, minute = (match["clock"] or f"{match['hour']}:{match['minute'] or 0}").partition(":")
    return hour, minute


def _time(match: re.Match[str]) -> str:
    hour, minute = (int(part or 0) for part in _parts(match))
    words = cardinal(hour)
    if minute:
        words += f" oh {cardinal(minute)}" if minute < 10 else f" {cardinal(minute)}"
    half = match["half"]
    return f"{words} {half.strip()[0].upper()}.M." if half else words


def _number(match: re.Match[str]) -> str:
    whole, part = match["whole"], match["part"]
    if part:
        words = f"{integer(whole)} point {digits(part)}"
    elif len(whole) == 4 and FIRST_YEAR <= int(whole) <= LAST_YEAR:
        words = year(int(whole))
    else:
        words = integer(whole)
    minus = "minus " if match["minus"] else ""
    return f"{minus}{words}{' percent' if match['percent'] else ''}"


RULES = compile_rules(
    (r"\$ ?(?P<dollars>\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.(?P<cents>\d\d))?(?!\d)", _price),
    (r"(?<![\w/-])(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?![\w/-])", _date),
    (r"(?<![\w/-])(?P<month>\d\d?)/(?P<day>\d\d?)/(?P<year>\d{4})(?![\w/-])", _date),
    (
        r"(?<![\w:.])(?P<hour>\d\d?)(?::(?P<minute>[0-5]\d)(?!:?\d))?"
        r"(?P<half> ?[AaPp]\.?[Mm]\b\.?)|(?<![\w:.])(?P<clock>\d\d?:[0-5]\d)(?!:?\d)",
        _time,
    ),
    (r"(?<![\w.,])(\d{1,15})(?:st|nd|rd|th)\b", lambda match: ordinal(int(match[1]))),
    (
        r"(?P<minus>(?<![\w-])-)?(?P<whole>\d{1,3}(?:,\d{3}){1,4}(?!\d)|\d+)(?:\.(?P<part>\d+))?"
        r"(?P<percent>%)?",
        _number,
    ),
)
