import re
from collections.abc import Callable
from random import Random

import pytest

from training.texts import numbers


@pytest.mark.parametrize(
    ("number", "words"),
    [
        *[(0, "zero"), (13, "thirteen"), (20, "twenty"), (42, "forty-two"), (100, "one hundred")],
        *[(321, "three hundred and twenty-one"), (1000, "one thousand")],
        *[(1005, "one thousand and five"), (2300, "two thousand three hundred")],
        (99_999, "ninety-nine thousand nine hundred and ninety-nine"),
    ],
)
def test_cardinals(number: int, words: str) -> None:
    assert numbers.cardinal(number) == words


@pytest.mark.parametrize(
    ("number", "words", "digits"),
    [
        *[(1, "first", "1st"), (2, "second", "2nd"), (3, "third", "3rd"), (4, "fourth", "4th")],
        *[(5, "fifth", "5th"), (8, "eighth", "8th"), (9, "ninth", "9th"), (11, "eleventh", "11th")],
        *[(12, "twelfth", "12th"), (13, "thirteenth", "13th"), (20, "twentieth", "20th")],
        *[(21, "twenty-first", "21st"), (30, "thirtieth", "30th"), (82, "eighty-second", "82nd")],
    ],
)
def test_ordinals(number: int, words: str, digits: str) -> None:
    assert numbers.ordinal(number) == words
    assert numbers.ordinal_digits(number) == digits


@pytest.mark.parametrize(
    ("year", "words"),
    [
        *[(1776, "seventeen seventy-six"), (1900, "nineteen hundred"), (1905, "nineteen oh five")],
        *[(2000, "two thousand"), (2007, "two thousand seven"), (2024, "twenty twenty-four")],
    ],
)
def test_years(year: int, words: str) -> None:
    assert numbers.year_words(year) == words


WORDS = r"[a-z' -]+"
MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
DAY = rf"(?:{MONTH} (?:\d+(?:st|nd|rd|th)?|[a-z-]+)|the (?:\d+(?:st|nd|rd|th)|[a-z-]+) of {MONTH})"


@pytest.mark.parametrize(
    ("draw", "pattern"),
    [
        (numbers.random_any_number, rf"\d{{1,4}}|\d{{1,2}},\d{{3}}|{WORDS}"),
        (numbers.random_ordinal, rf"\d+(?:st|nd|rd|th)|{WORDS}"),
        (numbers.random_price, rf"[$€][1-9][\d,]*(?:\.\d\d)?|{WORDS}"),
        (numbers.random_time, rf"1?\d(?::[0-5]\d)?(?: [AP]M| [ap]\.m\.)?|{WORDS}"),
        (numbers.random_year, rf"(?:1[789]|20)\d\d|{WORDS}"),
        (numbers.random_month_day, DAY),
        (numbers.random_date, rf"{DAY}, (?:\d{{4}}|{WORDS})"),
        (numbers.random_percent, rf"\d+(?:\.\d)?%|{WORDS} percent"),
        (numbers.random_decimal, rf"\d+\.\d|{WORDS} point {WORDS}"),
        (numbers.random_temperature, rf"\d+(?:°F| degrees)|{WORDS} degrees"),
        (numbers.random_million, rf"(?:\d\.\d|\d+|{WORDS}) (?:thousand|million|billion)"),
        (lambda rng: numbers.random_digits(rng, 3, 4), rf"\d \d \d, \d \d \d \d|{WORDS}, {WORDS}"),
    ],
)
def test_both_digits_and_words_are_drawn(draw: Callable[[Random], str], pattern: str) -> None:
    rng = Random(1)
    texts = [draw(rng) for _ in range(300)]
    assert [text for text in texts if not re.fullmatch(pattern, text)] == []
    with_digits = sum(any(map(str.isdigit, text)) for text in texts)
    assert 0.4 * len(texts) < with_digits < 0.9 * len(texts)
