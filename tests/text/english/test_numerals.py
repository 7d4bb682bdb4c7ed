"""Numbers in words."""

import pytest

from orpheus_server.text.english.numerals import (
    ROMAN,
    cardinal,
    decimal,
    digits,
    letters_and_digits,
    ordinal,
    pairs,
    roman,
)


@pytest.mark.parametrize(
    ("number", "words", "ordinal_words"),
    [
        (0, "zero", "zeroth"),
        (21, "twenty one", "twenty first"),
        (112, "one hundred and twelve", "one hundred and twelfth"),
        (1205, "one thousand two hundred and five", "one thousand two hundred and fifth"),
        (1_000_001, "one million and one", "one million and first"),
    ],
)
def test_cardinals_and_ordinals(number: int, words: str, ordinal_words: str) -> None:
    assert (cardinal(number), ordinal(number)) == (words, ordinal_words)


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
