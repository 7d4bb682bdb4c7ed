"""Token ids: fixed, and equal in training and in the server."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from gruut.g2p import GraphemesToPhonemes
from gruut.utils import find_lang_dir

from training.errors import TrainingError
from training.language_model import vocabulary
from training.language_model.vocabulary import Vocabulary

SPEAKERS = ("tara", "leo")


def test_the_ids_of_a_prompt() -> None:
    ids = Vocabulary(SPEAKERS, 4).prompt_ids("leo", ["_", "?", "b"])
    assert ids == [1, 6, 29, 33, 34, 2, 3]


def test_an_audio_id_names_slot_and_code() -> None:
    codes = np.array([[0, 1, 2, 3, 0, 1, 2], [3, 3, 3, 3, 3, 3, 3]], np.uint16)
    ids = Vocabulary(SPEAKERS, 4).audio_ids(codes)
    assert ids[:7].tolist() == [128, 133, 138, 143, 144, 149, 154]
    assert ids[7:].tolist() == [131, 135, 139, 143, 147, 151, 155]
    assert ids.dtype == np.int64


def test_every_id_has_one_token() -> None:
    words = Vocabulary(SPEAKERS, 8)
    assert sorted(words.tokens().values()) == list(range(words.size))
    assert words.size == 128 + 7 * 8


def test_the_base_of_audio_ids_is_a_multiple_of_32() -> None:
    assert vocabulary.AUDIO_TOKEN_BASE % 32 == 0
    assert vocabulary.FIRST_SYMBOL + len(vocabulary.SYMBOLS) <= vocabulary.UNKNOWN


def test_a_speaker_that_is_added_changes_no_id() -> None:
    before, after = Vocabulary(SPEAKERS, 4).tokens(), Vocabulary((*SPEAKERS, "ann"), 4).tokens()
    assert after["ann:"] == 7
    kept = {token for token in before if token != "<reserved_7>"}
    assert {token: after[token] for token in kept} == {token: before[token] for token in kept}


def test_the_symbols_are_all_that_gruut_produces() -> None:
    folder = find_lang_dir("en-us")
    assert folder is not None
    with closing(sqlite3.connect(folder / "lexicon.db")) as lexicon:
        rows = lexicon.execute("SELECT phonemes FROM word_phonemes").fetchall()
    produced = {symbol for (phonemes,) in rows for symbol in phonemes.split()}
    guesser = GraphemesToPhonemes(folder / "g2p" / "model.crf")
    for label in guesser.crf_tagger.labels():
        produced.update(guesser.decode_string(label).split(guesser.phoneme_join))
    assert produced | set(vocabulary.MARKS) == set(vocabulary.SYMBOLS)


def test_symbols_are_unique() -> None:
    assert len(set(vocabulary.SYMBOLS)) == len(vocabulary.SYMBOLS) == 75


@pytest.mark.parametrize(("speaker", "symbol"), [("nobody", "b"), ("leo", "ʘ")])
def test_what_is_not_in_the_vocabulary_is_refused(speaker: str, symbol: str) -> None:
    with pytest.raises(TrainingError, match="not in the vocabulary"):
        Vocabulary(SPEAKERS, 4).prompt_ids(speaker, [symbol])


def test_too_many_speakers_are_refused() -> None:
    with pytest.raises(TrainingError, match="room for 24"):
        Vocabulary(tuple(map(str, range(25))), 4)
