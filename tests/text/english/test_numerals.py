"""Numbers in words."""

import pytest
from num2words import num2words

from orpheus_server.text.english.numerals import (
    MAX_CARDINAL,
    ROMAN,
    cardinal,
    decimal,
    digits,
    letters_and_digits,
    ordinal,
    pairs,
    roman,
)

NUMBERS = (*range(0, 130), 200, 305, 999, 1000, 1001, 1100, 2025, 12_345, 100_000, 1_000_001)
NUMBERS += (7_000_000_000, 1_002_003_004_005, MAX_CARDINAL)


def in_words(number: int, form: str) -> str:
    return str(num2words(number, to=form)).replace("-", " ").replace(",", "")


@pytest.mark.parametrize("number", NUMBERS)
def test_the_same_words_as_num2words(number: int) -> None:
    """gruut reads numbers with num2words, so the voice was trained on these words."""
    assert cardinal(number) == in_words(number, "cardinal")
    assert ordinal(number) == in_words(number, "ordinal")


def test_other_forms() -> None:
    assert digits("(020) 5") == "zero two zero five"
    assert letters_and_digits("a1-Bc") == "A. one B C"
    assert decimal("2", "50") == "2 point five zero"
    assert decimal("", "5") == "point five"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (7, "seven"),
        (100, "one hundred"),
        (123, "one twenty three"),
        (1428, "fourteen twenty eight"),
        (2500, "twenty five hundred"),
        (1905, "nineteen oh five"),
        (2000, "two thousand"),
    ],
)
def test_pairs(number: int, words: str) -> None:
    assert pairs(number) == words


@pytest.mark.parametrize(
    ("numeral", "value"), [("IV", 4), ("IX", 9), ("XIV", 14), ("XL", 40), ("XCIX", 99), ("CX", 110)]
)
def test_roman_numerals(numeral: str, value: int) -> None:
    assert ROMAN.fullmatch(numeral)
    assert roman(numeral) == value


@pytest.mark.parametrize("text", ["IIII", "VX", "IC", ""])
def test_not_roman_numerals(text: str) -> None:
    assert ROMAN.fullmatch(text) is None
