"""Numbers in words: cardinals, ordinals, decimals, single digits and Roman numerals."""

import re

from num2words import num2words

MAX_CARDINAL = 10**15 - 1

ROMAN = re.compile(r"(?=[IVXLC])(C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def cardinal(number: int) -> str:
    """Returns 0 to `MAX_CARDINAL` in words: "one thousand two hundred and five".

    gruut uses the same library, so these are the words that voices were trained on.
    """
    return _plain(num2words(number))


def ordinal(number: int) -> str:
    """Returns the ordinal in words: "twenty first"."""
    return _plain(num2words(number, to="ordinal"))


def _plain(words: str) -> str:
    return words.replace("-", " ").replace(",", "")


def digits(text: str) -> str:
    """Returns the digits one by one: "zero one nine". Other characters are left out."""
    return " ".join(cardinal(int(char)) for char in text if char in "0123456789")


def letters_and_digits(text: str) -> str:
    """Returns letters and digits one by one. Without its dot, gruut reads "A" as the article."""
    spelled = (cardinal(int(char)) if char.isdigit() else char.upper() for char in text)
    return " ".join("A." if char == "A" else char for char in spelled if char.isalnum())


def decimal(whole: str, fraction: str) -> str:
    """Returns a decimal number: "2 point five zero", with the whole part as it is written."""
    return f"{whole} point {digits(fraction)}".lstrip()


def pairs(number: int) -> str:
    """Returns a number of at most four digits as house numbers are read: "fourteen oh five"."""
    high, low = divmod(number, 100)
    if not high or not number % 1000:
        return cardinal(number)
    if not low:
        return f"{cardinal(high)} hundred"
    return f"{cardinal(high)} {'oh ' * (low < 10)}{cardinal(low)}"


def roman(text: str) -> int:
    """Returns the value of a Roman numeral below 400."""
    values = [_ROMAN_VALUES[char] for char in text]
    return sum(
        -value if value < following else value
        for value, following in zip(values, (*values[1:], 0), strict=True)
    )
