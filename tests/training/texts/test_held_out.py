from collections import Counter

import pytest

from training.errors import TrainingError
from training.texts.corpus import Corpus
from training.texts.held_out import HeldOutUtterance, assign_speakers, held_out_utterances
from training.texts.held_out_rule import is_held_out
from training.texts.kinds import HELD_OUT_KINDS, NUM_SENTENCES, Kind
from training.texts.short_answers import SHORT_ANSWERS
from training.texts.utterance import Phonemizer

from .conftest import SPEAKERS


@pytest.fixture(scope="module")
def held_out(corpora: tuple[Corpus, Corpus], phonemizer: Phonemizer) -> list[HeldOutUtterance]:
    return held_out_utterances(corpora[1], phonemizer, speakers=SPEAKERS)


def test_there_are_300_with_at_least_25_of_each_kind(held_out: list[HeldOutUtterance]) -> None:
    assert [utterance.number for utterance in held_out] == list(range(300))
    kinds = Counter(utterance.kind for utterance in held_out)
    assert set(kinds) == set(HELD_OUT_KINDS) == set(Kind) - {Kind.SHORT}
    assert min(kinds.values()) >= 25
    assert all(len(u.sentences) == NUM_SENTENCES.get(u.kind, 1) for u in held_out)


def test_the_first_ones_have_all_kinds(held_out: list[HeldOutUtterance]) -> None:
    assert {utterance.kind for utterance in held_out[:10]} == set(HELD_OUT_KINDS)


def test_each_is_spoken_by_two_speakers_and_each_speaker_has_75(
    held_out: list[HeldOutUtterance],
) -> None:
    assert {len(set(utterance.speakers)) for utterance in held_out} == {2}
    counts = Counter(speaker for utterance in held_out for speaker in utterance.speakers)
    assert counts == dict.fromkeys(SPEAKERS, 75)
    of_kinds = Counter((s, utterance.kind) for utterance in held_out for s in utterance.speakers)
    assert set(of_kinds.values()) <= {7, 8}


@pytest.mark.parametrize("num_speakers", [2, 3, 7, 9])
def test_any_number_of_speakers_is_shared_evenly(num_speakers: int) -> None:
    speakers = [f"speaker{n}" for n in range(num_speakers)]
    pairs = assign_speakers([f"text {n}" for n in range(300)], speakers)
    counts = Counter(speaker for pair in pairs for speaker in pair)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(len(set(pair)) == 2 for pair in pairs)


def test_one_speaker_speaks_all() -> None:
    assert assign_speakers(["a", "b"], ["tara"]) == [("tara",), ("tara",)]


def test_no_sentence_is_there_twice_and_none_is_a_short_answer(
    held_out: list[HeldOutUtterance],
) -> None:
    sentences = [sentence for utterance in held_out for sentence in utterance.sentences]
    assert len(set(sentences)) == len(sentences)
    assert not set(sentences) & set(SHORT_ANSWERS)


def test_words_are_held_out_by_their_own_hash(held_out: list[HeldOutUtterance]) -> None:
    words = [each.sentences[0] for each in held_out if each.kind is Kind.WORDS]
    assert all(map(is_held_out, words))


def test_they_are_the_same_each_time(
    held_out: list[HeldOutUtterance], corpora: tuple[Corpus, Corpus], phonemizer: Phonemizer
) -> None:
    assert held_out_utterances(corpora[1], phonemizer, speakers=SPEAKERS) == held_out


def test_too_few_are_an_error_of_one_line(
    corpora: tuple[Corpus, Corpus], phonemizer: Phonemizer
) -> None:
    full = corpora[1]
    frames = {**full.frames, Kind.DATE: full.frames[Kind.DATE][:1]}
    corpus = Corpus(full.examples, frames, full.words, full.fillers)
    with pytest.raises(TrainingError, match="WordNet has only 12 held-out texts of kind date"):
        held_out_utterances(corpus, phonemizer, speakers=SPEAKERS)


def test_json_has_all_speakers_and_the_first(held_out: list[HeldOutUtterance]) -> None:
    value = held_out[0].to_json()
    assert value["speaker"] == value["speakers"][0]
    assert value["text"] == " ".join(value["sentences"])
    assert value.keys() >= {"number", "kind", "symbols"}
