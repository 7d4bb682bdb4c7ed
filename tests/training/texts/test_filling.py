import re
from random import Random

import pytest

from training.texts.corpus import Corpus
from training.texts.filling import GAP, fill
from training.texts.frames import FRAMES
from training.texts.kinds import SENTENCE_KINDS

ALL_FRAMES = [frame for group in FRAMES.values() for frame in group]


def test_each_kind_has_many_frames() -> None:
    assert set(FRAMES) == set(SENTENCE_KINDS)
    assert min(map(len, FRAMES.values())) >= 40
    assert len(set(ALL_FRAMES)) == len(ALL_FRAMES)


def test_all_gaps_can_be_filled(corpora: tuple[Corpus, Corpus]) -> None:
    gaps = {gap for frame in ALL_FRAMES for gap in GAP.findall(frame)}
    assert gaps <= corpora[0].fillers.keys()


@pytest.mark.parametrize("frame", ALL_FRAMES)
def test_filled_frames_are_clean(frame: str, corpora: tuple[Corpus, Corpus]) -> None:
    for seed in range(5):
        text = fill(frame, corpora[0].fillers, Random(seed))
        assert re.fullmatch(r'[A-Z0-9"$€][^{}()_]*[.!?]"?', text), text
        assert not re.search(r"\b[Aa] [aeio]\w+|\b[Aa]n [b-df-gj-np-tv-z]\w+|  |\.\.", text), text


def test_gaps_of_one_sentence_get_different_words(corpora: tuple[Corpus, Corpus]) -> None:
    for seed in range(50):
        days = fill("{day} {day} {day}", corpora[0].fillers, Random(seed)).split()
        assert len(set(days)) == 3


def test_an_abbreviation_ends_the_sentence_with_its_own_dot() -> None:
    assert fill("at {time}.", {"time": lambda rng: "7 p.m."}, Random(1)) == "At 7 p.m."
    assert fill("at {time}?", {"time": lambda rng: "7 p.m."}, Random(1)) == "At 7 p.m.?"
