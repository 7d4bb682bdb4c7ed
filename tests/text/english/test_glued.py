"""Digits, letters and marks without a space between them are read apart."""

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer

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


@pytest.mark.parametrize(("text", "spelled_out"), READINGS.items(), ids=READINGS)
def test_it_is_read_like_the_spelled_out_text(
    phonemizer: GruutPhonemizer, text: str, spelled_out: str
) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken == phonemizer.phonemize(spelled_out)
    assert spoken.num_lost_words == 0
