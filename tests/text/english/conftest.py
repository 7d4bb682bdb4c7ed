"""The phonemizer, once for all tests of a process."""

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer, build_phonemizer


@pytest.fixture(scope="session")
def phonemizer() -> GruutPhonemizer:
    return build_phonemizer("gruut/en-us")
