"""Numbers, prices, dates and times in words, for voices that read letters."""

import pytest

from orpheus_server.text.english.number_words import RULES, integer, year
from orpheus_server.text.english.rules import apply_rules

READINGS = {
    "$12 or $1,000.50": "twelve dollars or one thousand dollars fifty cents",
    "$1 and $2.01": "one dollar and two dollars one cent",
    "2019-07-04": "July fourth, twenty nineteen",
    "7/4/2019": "July fourth, twenty nineteen",
    "2019-13-04": "twenty nineteen thirteen four",
    "6:07 or 12:30 pm": "six oh seven or twelve thirty P.M.",
    "9 a.m.": "nine A.M.",
    "the 42nd": "the forty second",
    "1066, 1905, 2008 and 2150": (
        "ten sixty six, nineteen oh five, two thousand and eight and two thousand one hundred "
        "and fifty"
    ),
    "-7 and 3.14": "minus seven and three point one four",
    "12.5% of 3,000": "twelve point five percent of three thousand",
}


@pytest.mark.parametrize(("text", "words"), READINGS.items(), ids=READINGS)
def test_it_becomes_words(text: str, words: str) -> None:
    assert apply_rules(text, RULES) == words


def test_a_number_that_is_too_long_is_read_digit_by_digit() -> None:
    assert integer("12,000") == "twelve thousand"
    assert integer("1" * 16) == " ".join(["one"] * 16)


@pytest.mark.parametrize(
    ("number", "words"),
    [(1900, "nineteen hundred"), (2005, "two thousand and five"), (2024, "twenty twenty four")],
)
def test_years(number: int, words: str) -> None:
    assert year(number) == words
