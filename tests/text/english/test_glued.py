"""Digits, letters and marks without a space between them are read apart."""

from tests.support.readings import reading_test

READINGS = {
    "a 21st-century MP4": "a twenty first century M P four",
    "size 8B and 5A": "size eight B and five A.",
    "black&white": "black and white",
    "see me @ noon": "see me at noon",
    "y=7": "y equals seven",
    "4+3, 12+": "four plus three, twelve plus",
    "item #9, ~40": "item number nine, about forty",
    "20 °C or 70°F": "twenty degrees Celsius or seventy degrees Fahrenheit",
    "v3.1.2": "v three point one point two",
    "2.000.000 people": "two million people",
    "640x480": "six hundred and forty by four hundred and eighty",
    "either/or": "either or",
    "hello(there)": "hello (there)",
    "x^y": "x to the y",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)
