"""Rewrites digits as words: money, times, dates, years, ordinals, fractions, units."""

import re
from collections.abc import Callable

from training.ear.number_words import cardinal, decade, decimal, digits, ordinal, year

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_MONTH = "|".join(MONTHS)

_CURRENCIES = {
    "$": ("dollar", "cent"),
    "£": ("pound", "penny"),
    "€": ("euro", "cent"),
}
_UNITS = {
    **{"km/h": "kilometers per hour", "mph": "miles per hour", "km": "kilometers"},
    **{"cm": "centimeters", "mm": "millimeters", "kg": "kilograms", "mg": "milligrams"},
    **{"ml": "milliliters", "lbs": "pounds", "lb": "pounds", "oz": "ounces", "ft": "feet"},
    **{"°c": "degrees celsius", "°f": "degrees fahrenheit", "°": "degrees", "%": "percent"},
    **{"k": "thousand", "¢": "cents"},
}
_FRACTIONS = {
    **{"1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter"},
    **{"3/4": "three quarters", "½": "one half", "¼": "one quarter", "¾": "three quarters"},
}


def _number(text: str) -> str:
    """Returns an amount with optional thousands separators and decimals."""
    text = text.replace(",", "")
    return decimal(text) if "." in text else cardinal(int(text))


def _plural(word: str, amount: str) -> str:
    if amount == "one":
        return word
    return "pence" if word == "penny" else f"{word}s"


def _money(match: re.Match[str]) -> str:
    return _amount(match, *_CURRENCIES[match["sign"]])


def _named_money(match: re.Match[str]) -> str:
    units = next(units for units in _CURRENCIES.values() if units[0] == match["name"])
    return _amount(match, *units)


def _amount(match: re.Match[str], large: str, small: str) -> str:
    whole, cents, scale = match["whole"], match["cents"], match["scale"]
    amount = _number(whole)
    if scale:
        fraction = f".{cents}" if cents else ""
        return f"{_number(whole + fraction)} {scale} {large}s"
    words = [f"{amount} {_plural(large, amount)}"]
    if cents and int(cents):
        part = cardinal(int(cents.ljust(2, "0")))
        words.append(f"{part} {_plural(small, part)}")
    return " ".join(words)


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    words = cardinal(hour)
    if minute:
        return f"{words} {cardinal(minute)}" if minute > 9 else f"{words} oh {cardinal(minute)}"
    # "4:00 pm" is "four pm", "4:00" is "four o'clock".
    return words if match["half"] else f"{words} oclock"


def _numeric_date(match: re.Match[str]) -> str:
    month, day = int(match["month"]), int(match["day"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return digits(match[0])
    number = int(match["year"])
    return f"{MONTHS[month - 1]} {ordinal(day)} {year(number)}"


def _plain(match: re.Match[str]) -> str:
    """Returns a whole number: a year if it has four digits, a long one digit by digit."""
    text = match[0]
    if len(text) >= 7 or (text[0] == "0" and len(text) > 1):
        return digits(text)
    number = int(text)
    return year(number) if len(text) == 4 else cardinal(number)


_Replacement = str | Callable[[re.Match[str]], str]

# The order matters: a rule relies on earlier ones to have rewritten what is longer.
_RULES: tuple[tuple[re.Pattern[str], _Replacement], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?!\d)", _numeric_date),
        (r"(?<!\d)(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})", _numeric_date),
        (
            r"(?P<whole>\d+)\.(?P<cents>\d{2})(?P<scale>)\s+(?P<name>dollar|pound|euro)s?\b",
            _named_money,
        ),
        # Whisper writes "at 630" for "at six thirty".
        (
            r"(?<=\bat )(?P<hour>1[0-2]|[1-9])(?P<minute>[0-5]\d)(?P<half>)(?![\d.:%]|,\d)",
            _time,
        ),
        (
            r"(?P<sign>[$£€])\s?(?P<whole>\d[\d,]*)(?:\.(?P<cents>\d{1,2}))?(?!\.?\d)"
            r"(?:[\s-]*(?P<scale>thousand|million|billion|trillion))?",
            _money,
        ),
        (
            r"(?<![\d.:])(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?!\d)"
            r"(?=(?P<half>\s*[ap]m\b)?)",
            _time,
        ),
        # Whisper also writes "4.30"; a decimal that is read out has no zero at its end.
        (
            r"(?<![\d.:])(?P<hour>1[0-2]|[1-9])\.(?P<minute>[0-5]0)(?![\d%])(?P<half>)",
            _time,
        ),
        (
            r"(?<![\d.:])(?P<hour>\d{1,2})\.(?P<minute>[0-5]\d)(?=(?P<half>\s*[ap]m\b))",
            _time,
        ),
        (
            rf"\b(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_MONTH})\b",
            lambda match: f"the {ordinal(int(match['day']))} of {match['month']}",
        ),
        (
            rf"\b(?P<month>{_MONTH})\s+(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?![\d:%])",
            lambda match: f"{match['month']} {ordinal(int(match['day']))}",
        ),
        (r"\b(\d{2})(\d0)'?s\b", lambda match: decade(int(match[1] + match[2]))),
        (r"(?<!\w)'?([2-9]0)'?s\b", lambda match: f"{cardinal(int(match[1]))[:-1]}ies"),
        (r"\b(\d[\d,]*)(?:st|nd|rd|th)\b", lambda match: ordinal(int(match[1].replace(",", "")))),
        (r"(?<![\d/])(?:[123]/[234])(?![\d/])", lambda match: _FRACTIONS.get(match[0], match[0])),
        (r"(?<=\d)\s?([½¼¾])", lambda match: f"and {_FRACTIONS[match[1]]}"),
        (r"[½¼¾]", lambda match: _FRACTIONS[match[0]]),
        # Telephone numbers: groups of three or four digits.
        (r"(?<![\d-])\d{3}(?:-\d{3})?-\d{4}(?![\d-])", lambda match: digits(match[0])),
        (r"(?<=\d)\s?-\s?(?=\d)", " to "),
        (
            r"(?<=\d)\s?(km/h|mph|km|cm|mm|kg|mg|ml|lbs|lb|oz|ft|°c|°f|°|%|k|¢)(?![a-z])",
            lambda match: _UNITS[match[1]],
        ),
        (r"#\s?(?=\d)|\bno\.\s?(?=\d)", "number "),
        (r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", lambda match: _number(match[0])),
        (r"\d*\.\d+", lambda match: decimal(match[0])),
        (r"\d+", _plain),
    )
)


def spell_numerals(text: str) -> str:
    """Returns lower-case text with all digits as words, set apart by blanks."""
    for pattern, replacement in _RULES:
        text = pattern.sub(_set_apart(replacement), text)
    return text


def _set_apart(replacement: _Replacement) -> Callable[[re.Match[str]], str]:
    if isinstance(replacement, str):
        return lambda match: match.expand(replacement)

    def replace(match: re.Match[str]) -> str:
        words = replacement(match)
        return words if words == match[0] else f" {words} "

    return replace
