import pytest

from training.ear.number_words import cardinal, decade, decimal, digits, ordinal, year


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (15, "fifteen"),
        (40, "forty"),
        (105, "one hundred five"),
        (999, "nine hundred ninety nine"),
        (12_034, "twelve thousand thirty four"),
        (2_000_001, "two million one"),
        (10**15, "one zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero"),
    ],
)
def test_cardinals(number: int, words: str) -> None:
    assert cardinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "first"),
        (12, "twelfth"),
        (20, "twentieth"),
        (22, "twenty second"),
        (104, "one hundred fourth"),
    ],
)
def test_ordinals(number: int, words: str) -> None:
    assert ordinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1998, "nineteen ninety eight"),
        (1905, "nineteen oh five"),
        (1900, "nineteen hundred"),
        (2000, "two thousand"),
        (2005, "two thousand five"),
        (2012, "twenty twelve"),
        (3500, "three thousand five hundred"),
    ],
)
def test_years(number: int, words: str) -> None:
    assert year(number) == words


def test_decades_digits_and_decimals() -> None:
    assert decade(1990) == "nineteen nineties"
    assert decade(2000) == "two thousands"
    assert digits("555-01") == "five five five zero one"
    assert decimal("3.14") == "three point one four"
    assert decimal(".5") == "zero point five"
