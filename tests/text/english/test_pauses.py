"""Several stops, dashes and glued commas are read as one pause."""

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer
from tests.support.readings import reading_test

READINGS = {
    "Why?!! Because...": "Why? Because.",
    "Well... maybe": "Well, maybe",
    "Well... Maybe": "Well. Maybe",
    "rain—or snow—fell": "rain, or snow, fell",
    "rain -- or snow": "rain, or snow",
    "“I thought—” she began.": "“I thought,” she began.",
    "one,two:three": "one, two: three",
    "left.Then right": "left. Then right",
    "She has a Ph.D.": "She has a P.H.D.",
    "3,4 and 1,250": "3, 4 and one thousand, two hundred and fifty",
    "7–9, $3–$5": "seven to nine, three dollars to five dollars",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)


@pytest.mark.parametrize("text", ["—", "...", "– –", "?!"])
def test_marks_alone_are_silent(phonemizer: GruutPhonemizer, text: str) -> None:
    assert phonemizer.phonemize(text).symbols == ()
