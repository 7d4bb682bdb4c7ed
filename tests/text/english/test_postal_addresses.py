"""Postal addresses: house numbers, streets, states and ZIP codes."""

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer

READINGS = {
    "123 Main St, Springfield, IL 62704": (
        "one twenty three Main Street, Springfield, Illinois six two seven zero four"
    ),
    "708 N 1st St": "seven zero eight North first Street",
    "1428 Elm Ave. is empty": "fourteen twenty eight Elm Avenue is empty",
    "2500 Lake Shore Dr": "twenty five hundred Lake Shore Drive",
    "Reno, NV, 89501": "Reno, Nevada, eight nine five zero one",
    "He lives at 692 Oak Street": "He lives at six hundred and ninety two Oak Street",
}


@pytest.mark.parametrize(("text", "spelled_out"), READINGS.items(), ids=READINGS)
def test_it_is_read_like_the_spelled_out_text(
    phonemizer: GruutPhonemizer, text: str, spelled_out: str
) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken == phonemizer.phonemize(spelled_out)
    assert spoken.num_lost_words == 0
