"""Several stops, dashes and glued commas are read as one pause."""

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer

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


@pytest.mark.parametrize(("text", "spelled_out"), READINGS.items(), ids=READINGS)
def test_it_is_read_like_the_spelled_out_text(
    phonemizer: GruutPhonemizer, text: str, spelled_out: str
) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken == phonemizer.phonemize(spelled_out)
    assert spoken.num_lost_words == 0


@pytest.mark.parametrize("text", ["—", "...", "– –", "?!"])
def test_marks_alone_are_silent(phonemizer: GruutPhonemizer, text: str) -> None:
    assert phonemizer.phonemize(text).symbols == ()
