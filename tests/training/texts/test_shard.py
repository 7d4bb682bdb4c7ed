from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest

from training.files import hash_json
from training.texts.corpus import Corpus
from training.texts.held_out import held_out_utterances
from training.texts.held_out_rule import is_held_out
from training.texts.kinds import NUM_SENTENCES, Kind
from training.texts.normalising import normalise
from training.texts.recipe import TEXTS_VERSION
from training.texts.shard import SHARD_SIZE, utterances_of_shard
from training.texts.utterance import MAX_SYMBOLS, Phonemizer, Utterance

from .conftest import SPEAKERS


@pytest.fixture(scope="module")
def held_out_sentences(corpora: tuple[Corpus, Corpus], phonemizer: Phonemizer) -> set[str]:
    utterances = held_out_utterances(corpora[1], phonemizer, speakers=SPEAKERS)
    return {normalise(sentence) for utterance in utterances for sentence in utterance.sentences}


@pytest.fixture(scope="module")
def make(
    corpora: tuple[Corpus, Corpus], phonemizer: Phonemizer, held_out_sentences: set[str]
) -> "partial[list[Utterance]]":
    return partial(
        utterances_of_shard,
        corpus=corpora[0],
        phonemizer=phonemizer,
        speakers=SPEAKERS,
        held_out_sentences=held_out_sentences,
    )


@pytest.fixture(scope="module")
def utterances(make: "partial[list[Utterance]]") -> Sequence[Utterance]:
    """The first 2,016 utterances."""
    return [utterance for number in range(63) for utterance in make(number)]


def test_numbers_and_speakers_take_turns(utterances: Sequence[Utterance]) -> None:
    assert [utterance.number for utterance in utterances] == list(range(63 * SHARD_SIZE))
    assert [utterance.speaker for utterance in utterances[:16]] == [*SPEAKERS, *SPEAKERS]


def test_a_shard_depends_on_its_number_only(
    make: "partial[list[Utterance]]", utterances: Sequence[Utterance]
) -> None:
    for number in (5, 0, 60):
        first = number * SHARD_SIZE
        assert make(number) == utterances[first : first + SHARD_SIZE]


def test_no_sentence_is_held_out(
    utterances: Sequence[Utterance], held_out_sentences: set[str]
) -> None:
    texts = [f" {normalise(utterance.text)} " for utterance in utterances]
    long_sentences = [sentence for sentence in held_out_sentences if len(sentence.split()) > 2]
    assert len(long_sentences) > 400
    everything = "|".join(texts)
    assert [sentence for sentence in long_sentences if f" {sentence} " in everything] == []
    single = [u for u in utterances if u.kind not in NUM_SENTENCES and u.kind is not Kind.SHORT]
    assert not any(is_held_out(utterance.text) for utterance in single)


def test_no_frame_is_held_out(corpora: tuple[Corpus, Corpus]) -> None:
    trained, held_out = ({f for group in c.frames.values() for f in group} for c in corpora)
    assert len(trained) > len(held_out) > 0
    assert not trained & held_out


def test_kinds_have_their_shares(utterances: Sequence[Utterance]) -> None:
    kinds = Counter(utterance.kind for utterance in utterances)
    assert set(kinds) == set(Kind)
    assert 0.35 < sum(kinds[kind] for kind in NUM_SENTENCES) / len(utterances) < 0.45


def test_texts_are_short_enough(utterances: Sequence[Utterance]) -> None:
    assert max(len(utterance.symbols) for utterance in utterances) <= MAX_SYMBOLS
    assert {utterance.symbols[-1] for utterance in utterances} == {".", "!", "?"}


def test_a_held_out_sentence_is_noticed(
    corpora: tuple[Corpus, Corpus], make: "partial[list[Utterance]]"
) -> None:
    text = normalise(make(0)[1].text)
    with pytest.raises(AssertionError):
        make(0, held_out_sentences={text})


def test_another_text_needs_another_version(utterances: Sequence[Utterance]) -> None:
    """If this fails because texts changed, raise TEXTS_VERSION and put the new hash here.

    Otherwise a run that goes on would mix texts of two kinds in one folder.
    """
    texts = hash_json([[utterance.kind, utterance.text] for utterance in utterances])
    assert (TEXTS_VERSION, texts) == (2, "a3decb5874a38e8d")
