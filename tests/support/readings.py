"""Tests that texts are read like sentences that spell them out."""

from collections.abc import Callable, Mapping

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer

ReadingTest = Callable[[GruutPhonemizer, str, str], None]


def reading_test(readings: Mapping[str, str]) -> ReadingTest:
    """Returns a test of each text, by the phonemes of its sentence, without a lost word."""

    @pytest.mark.parametrize(("text", "spelled_out"), readings.items(), ids=readings)
    def test(phonemizer: GruutPhonemizer, text: str, spelled_out: str) -> None:
        spoken = phonemizer.phonemize(text)
        assert spoken == phonemizer.phonemize(spelled_out)
        assert spoken.num_lost_words == 0

    return test
