"""Tells a comparison at the start of a line, "> 90 %", from a quotation."""

import re

from orpheus_server.text.english.units import ONE_LETTER, UNITS

_PARTS = re.compile(
    r">\s*[-−+~]?(?P<currency>[$£€¥]?)(?P<number>\d[\d.,]*) *(?P<word>[^\s\d<>=+*/^≤≥≠-]*)"
    r" *(?P<operator>\S*)"
)
# Units that are words, in the singular and plural.
_UNIT_WORD = re.compile(
    "(?:percent|degree|second|minute|hour|day|week|month|year|meter|metre|kilometer|kilometre|mile|"
    "gram|kilogram|pound|liter|litre|dollar|euro|cent|point|percentage|time|byte|pixel|watt|volt|"
    "thousand|million|billion|trillion|k|m|bn|usd|eur|gbp)s?"
)
_CONJUNCTIONS = frozenset(("and", "or", "but", "to"))


def is_comparison(text: str, following: str) -> bool:
    """Whether the text, a line from its ">" to the first word after a number, is a comparison.

    A number with a unit, next to an operator, or alone in its line is compared. Before other words
    the line is a quotation, as in "> 90 people came" and "> 1. Mix the eggs". `following` is the
    next character.
    """
    parts = _PARTS.fullmatch(text)
    if parts is None or parts["number"][-1] in ".,":
        return False
    word = parts["word"]
    if parts["currency"]:
        return True
    if parts["operator"]:
        return not word or word in _CONJUNCTIONS or _is_unit(word)
    if not word:
        return following in ("", "\n")
    is_whole = text[-1].isspace() or not following.isalnum()
    return is_whole and _is_unit(word)


def _is_unit(word: str) -> bool:
    is_symbol = word in UNITS or word in ONE_LETTER or not word[0].isalpha()
    return is_symbol or _UNIT_WORD.fullmatch(word.lower()) is not None
