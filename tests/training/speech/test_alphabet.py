"""The teacher's characters of the phonemizer's symbols."""

import pytest

from orpheus_server.text.phonemes import build_phonemizer
from tests.training.speech.scripted_teacher import ScriptedTeacher
from training.speech.alphabet import to_characters

ALPHABET = ScriptedTeacher().alphabet


@pytest.mark.parametrize(
    ("symbols", "text"),
    [
        ("j ˈɛ s .", "jˈɛs."),
        ("d ˈɔ ɡ , d ˈʌ z", "dˈɔɡ, dˈʌz"),
        ("t͡ʃ ˈɚ t͡ʃ _ b ˈɔɪ z !", "ʧˈɜɹʧ bˈYz!"),
        ("ˈoʊ v ɚ", "ˈOvəɹ"),
        ("d͡ʒ ˌeɪ aɪ ˈaʊ g", "ʤˌAIˈWɡ"),
        ("ˈoʊ ? ! n", "ˈO?! n"),
    ],
)
def test_characters(symbols: str, text: str) -> None:
    characters = to_characters(symbols.split(), ALPHABET)
    assert characters is not None
    assert characters.text == text


def test_each_character_has_its_symbol() -> None:
    characters = to_characters(["t͡ʃ", "ˈɚ", "_", "d", ",", "ˈaɪ", "."], ALPHABET)
    assert characters is not None
    assert characters.text == "ʧˈɜɹ d, ˈI."
    assert characters.owners == (0, 1, 1, 1, 2, 3, 4, 4, 5, 5, 6)


def test_none_for_a_symbol_that_the_teacher_does_not_know() -> None:
    assert to_characters(["ʘ", "."], ALPHABET) is None


def test_the_phonemizer_has_no_other_symbols() -> None:
    text = (
        "Judge Roy's church bird heard five young azure ships go through the thin, good fog. Why?"
    )
    symbols = build_phonemizer("gruut/en-us").phonemize(text).symbols
    characters = to_characters(symbols, ALPHABET)
    assert characters is not None
    assert sorted(set(characters.owners)) == list(range(len(symbols)))
