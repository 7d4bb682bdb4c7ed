"""The utterances of one shard: a pure function of its number."""

from collections.abc import Collection, Sequence
from random import Random

from training.texts.corpus import Corpus
from training.texts.drawing import draw_kind, draw_sentences
from training.texts.held_out_rule import is_held_out
from training.texts.kinds import Kind
from training.texts.normalising import normalise
from training.texts.short_answers import SHORT_ANSWERS
from training.texts.utterance import Phonemizer, Utterance, join, read_sentences

SHARD_SIZE = 32
SEED = 1

# An utterance of four sentences that are short enough takes three draws on average.
MAX_TRIES = 1000


def utterances_of_shard(
    shard_number: int,
    corpus: Corpus,
    phonemizer: Phonemizer,
    *,
    speakers: Sequence[str],
    held_out_sentences: Collection[str],
) -> list[Utterance]:
    """Returns the utterances of a shard, whatever other shards there are.

    `held_out_sentences` are those of the held-out utterances, normalised; none is in the shard.
    """
    first = shard_number * SHARD_SIZE
    utterances = []
    for number in range(first, first + SHARD_SIZE):
        kind, sentences, symbols = _draw(number, corpus, phonemizer)
        for sentence in sentences:
            assert is_trained_on(sentence), "a held-out sentence must not be trained on"
            assert normalise(sentence) not in held_out_sentences
        speaker = speakers[number % len(speakers)]
        utterances.append(Utterance(number, speaker, kind, join(sentences), symbols))
    return utterances


def _draw(
    number: int, corpus: Corpus, phonemizer: Phonemizer
) -> tuple[Kind, list[str], tuple[str, ...]]:
    """Draws an utterance. The kind is drawn once, so that kinds of long texts are not rarer."""
    rng = Random(f"{SEED}/{number}")
    kind = draw_kind(rng)
    for _ in range(MAX_TRIES):
        sentences = draw_sentences(corpus, kind, rng, with_short=True)
        if not all(map(is_trained_on, sentences)):
            continue
        symbols = read_sentences(sentences, phonemizer)
        if symbols is not None:
            return kind, sentences, symbols
    raise AssertionError(f"no text of kind {kind} is short enough")


def is_trained_on(sentence: str) -> bool:
    """Whether a sentence may be trained on; short answers always are."""
    return sentence in SHORT_ANSWERS or not is_held_out(sentence)
