"""How the bundled voice was trained to read, and the symbols that it has."""

import json
import re
from base64 import b64decode
from pathlib import Path

import pycrfsuite
import pytest
from gruut.utils import find_lang_dir
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.text.phonemes import GruutPhonemizer, build_phonemizer
from training.keep.parts import read_part

MODELS = Path(__file__).parent.parent.parent / "models"
PARTS = sorted((MODELS / "pocket-training" / "tokens").glob("*.safetensors"))
VOCABULARY = frozenset(
    json.loads((MODELS / "pocket" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
)
# Read otherwise on purpose: "three euros twenty" instead of "three euro, twenty cents".
NEW_READINGS = re.compile("€")
MAX_SHARE_OTHERWISE = 0.001


@pytest.fixture(scope="module")
def phonemizer() -> GruutPhonemizer:
    return build_phonemizer("gruut/en-us")


def test_training_texts_are_read_as_their_tokens_say(phonemizer: GruutPhonemizer) -> None:
    utterances = [
        utterance for part in PARTS for shard in read_part(part) for utterance in shard.utterances
    ]
    compared = [each for each in utterances if NEW_READINGS.search(each["text"]) is None]
    otherwise = [
        each["text"]
        for each in compared
        if phonemizer.phonemize(each["text"]).symbols != tuple(each["symbols"])
    ]
    assert len(compared) > 2000
    assert len(otherwise) <= MAX_SHARE_OTHERWISE * len(compared), otherwise


def test_the_voice_has_every_symbol_that_gruut_can_guess() -> None:
    lang_dir = find_lang_dir("en-us")
    assert lang_dir is not None
    tagger = pycrfsuite.Tagger()
    tagger.open(str(lang_dir / "g2p" / "model.crf"))
    labels = (b64decode(label).decode().split("|") for label in tagger.labels())
    assert {symbol for symbols in labels for symbol in symbols} <= VOCABULARY


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.text(alphabet="019.,:/-eE$€%°²ΔΩ ’'\"_apmxkBsZ=<>*&", max_size=40))
def test_the_voice_has_every_symbol_of_any_text(phonemizer: GruutPhonemizer, text: str) -> None:
    assert set(phonemizer.phonemize(text).symbols) <= VOCABULARY
