"""Numbers that are names: telephone and card numbers, IP addresses, UUIDs and serial numbers."""

import re

from orpheus_server.text.english.numerals import cardinal, digits, letters_and_digits, pairs
from orpheus_server.text.english.rules import compile_rules

GROUP = re.compile(r"[A-Za-z\d]+")
# Text before a number that is always read digit by digit.
DIGITS_FOLLOW = (
    "ending (?:in|with)|code(?: is)?|pin(?: is)?|otp(?: is)?|extension|ext\\.?|password(?: is)?"
    "|passcode(?: is)?|zip(?: code)?"
    "|(?:card|account|order|serial|reference|tracking|case|ticket|confirmation|flight)"
    " (?:number|no\\.?)(?: is)?"
)
CALL = "call|dial|phone|tel\\.?|telephone|fax|text|mobile|cell|number is|at"


def _digit_groups(text: str) -> str:
    """Reads groups of digits with a pause between two."""
    return ", ".join(map(digits, re.findall(r"\d+", text)))


def _groups(match: re.Match[str]) -> str:
    return ("plus " if match[0].startswith("+") else "") + _digit_groups(match[0])


def _after_context(match: re.Match[str]) -> str:
    return match["before"] + _digit_groups(match["number"])


def _spelled_groups(match: re.Match[str]) -> str:
    return ", ".join(map(letters_and_digits, GROUP.findall(match[0])))


def _ip_address(match: re.Match[str]) -> str:
    return " dot ".join(map(digits, match[0].split(".")))


def _vanity(match: re.Match[str]) -> str:
    """1-800-FLOWERS: the words stay words."""
    return ", ".join(
        digits(part) if part.isdigit() and part != "800" else part.replace("800", "eight hundred")
        for part in match[0].split("-")
    )


def _spelled_hex(match: re.Match[str]) -> str:
    text = match[0]
    if not (any(map(str.isdigit, text)) and any(map(str.isalpha, text))):
        return text
    return letters_and_digits(text)


def _three_digits(match: re.Match[str]) -> str:
    words = cardinal(int(match["number"])).replace(" and ", " ")
    is_inside = match.string[match.end() : match.end() + 1].isalpha()
    before = match.string[: match.start()][-2:]
    # Without its dot, gruut reads "A" as the article.
    is_lone_a = before.endswith("A") and not before[:-1].isalnum()
    return f"{'. ' if is_lone_a else match['mark'] or ' '}{words}{' ' * is_inside}"


def _long_glued(match: re.Match[str]) -> str:
    number = match["number"]
    if len(number) == 4 and "1900" <= number < "2100":
        return match[0]
    return f" {digits(number)} "


RULES = compile_rules(
    (r"(?<![\w-])[\dA-Fa-f]{8}(?:-[\dA-Fa-f]{4}){3}-[\dA-Fa-f]{12}(?![\w-])", _spelled_groups),
    (r"(?<![\w-])[\da-f]{7,64}(?![\w-])", _spelled_hex),
    (r"(?<![\w.,])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|[.,]\d)", _ip_address),
    (r"(?<![\w.,-])1-\d{3}(?:-[A-Z]{1,10}){1,3}(?![\w-])", _vanity),
    # Telephone numbers: with a country code, with an area code, with a leading zero.
    (
        r"(?<![\w.,+-])\+(?=(?:\d[ .()-]{0,3}){7})\d{1,3}"
        r"(?:[ .-]{0,2}\(?\d{1,5}\)?){2,6}(?![\w-]|[.,:]\d)",
        _groups,
    ),
    (
        r"(?<![\w.,-])(?:1[ .-])?(?:\(\d{3}\)[ .-]{0,2}|\d{3}[ .-])\d{3}[ .-]\d{4}(?:-\d{1,6})?"
        r"(?![\w-]|[.,:]\d)",
        _groups,
    ),
    (
        r"(?<![\w.,/:-])(?<!\d )(?!\d\d[-/]\d\d?[-/](?:\d{4}|\d\d)\b|[01]\d/(?:19|20)\d\d\b)"
        r"\(?0\d{1,5}\)?[ /-]\d{2,8}(?:[ -]\d{2,8}){0,4}(?![\w-]|[.,:/]\d| ?[ap]m\b)",
        _groups,
    ),
    # Card numbers, and three or more groups that are not a date.
    (r"(?<![\w.,-])\d{4}(?: \d{4}){2,3}(?![\w-]|[.,:]\d)", _groups),
    (
        r"(?<![\w.,/-])(?!\d{4}-\d\d?-\d\d?(?![\d-])|\d\d?-\d\d?-(?:\d{4}|\d\d)(?![\d-]))"
        r"\d{1,8}(?:-\d{1,8}){2,5}(?![\w-]|[.,:/]\d)",
        _groups,
    ),
    (rf"(?i)(?P<before>\b(?:{CALL}) )(?P<number>\d{{3}}-\d{{4}})(?![\w-]|[.,]\d)", _after_context),
    (r"(?<![\w.,$£€/-])(?=\d\d[1-9]-)\d{3}-\d{4}(?![\w-]|[.,/]\d)", _groups),
    (
        rf"(?i)(?P<before>\b(?:{DIGITS_FOLLOW}) ?[:#]? ?)(?P<number>\d{{3,12}})(?![\w-]|[.,]\d)",
        _after_context,
    ),
    (
        r"(?i)(?P<before>\b(?:card|account|order|invoice|serial|tracking|ticket|ref) )"
        r"(?P<number>\d{5,15})"
        r"(?![\w-]|[.,]\d)",
        _after_context,
    ),
    # Initials without their last stop: "U.S", "a.b.c".
    (
        r"(?<![\w.@/])(?![ap]\.m\b|[ie]\.[eg]\b)[A-Za-z](?:\.[A-Za-z]){1,9}(?![\w.@/:-])",
        lambda match: letters_and_digits(match[0]),
    ),
    # Leading zeros, and long numbers next to letters.
    (
        r"(?<![\w.,/:'’$£€¥-])(?<!\d )0\d{1,14}(?![\w/:-]|[.,]\d| ?[ap]\.?m\b)",
        lambda m: digits(m[0]),
    ),
    (r"(?<=[A-Za-z])(?<!\dx)(?P<number>\d{4,15})(?![\d.,]|[A-Za-z]{3})", _long_glued),
    (r"(?<=[A-Za-z]-)(?P<number>\d{5,15})(?![\d.,])", _long_glued),
    (r"(?<=[A-Z]{2}-)(?P<number>\d{4})(?![\d.,])", _long_glued),
    # Numbers that are called, and those of aircraft.
    (
        r"(?i)(?P<before>\b(?:dial|call|called|calling|phone|ring) )"
        r"(?P<number>911|999|112|[2-8]11)(?![\w-]|[.,:/]\d| [a-z]+s\b)",
        _after_context,
    ),
    (r"\b911(?= (?:calls?|operators?|dispatchers?|emergency)\b)", "nine one one"),
    (
        r"\b(?P<name>Boeing|Airbus) (?P<number>[1-9]\d\d)"
        r"(?![\w-]|[.,:/]\d)",
        lambda match: f"{match['name']} {pairs(int(match['number']))}",
    ),
    # Three digits in a name: "A380", "1-413-b".
    (
        r"(?:(?<=[A-Z])(?<!\d[A-Z])(?<!\d[A-Z]{2})(?<!\d [A-Z])(?<!\d [A-Z]{2})(?P<mark>-)"
        r"|(?<=[A-Za-z])(?<!\dx))(?P<number>[1-9]\d\d)(?!\d|[.,:/]\d|%|[A-Za-z]{3})",
        _three_digits,
    ),
    (r"(?<=\d)(?P<mark>-)(?P<number>[1-9]\d\d)(?=-[A-Za-z])", _three_digits),
    # Leading zeros next to letters: "A-007", "25d08A".
    (r"(?<=[A-Za-z])-?(?P<number>0\d{1,15})(?![\d.,:/])", _long_glued),
    (
        r"(?<![\w.,:/-])(?P<number>0\d{1,15})(?=[A-Za-z])"
        r"(?!x|[AaPp]\.?[Mm]\b|(?:st|nd|rd|th|h)\b)",
        _long_glued,
    ),
    (r"(?<=\d/)(?P<number>\d{6,15})(?=-[A-Za-z])", _long_glued),
)
