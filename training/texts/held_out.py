"""The 300 held-out utterances: 30 of each kind, from the held-out corpus by the order of hashes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from training.errors import TrainingError
from training.files import hash_bytes
from training.texts.corpus import Corpus
from training.texts.drawing import draw_sentences, draw_words
from training.texts.filling import fill
from training.texts.held_out_rule import is_held_out
from training.texts.kinds import HELD_OUT_KINDS, NUM_SENTENCES, Kind
from training.texts.normalising import normalise, text_hash
from training.texts.utterance import Phonemizer, join, read_sentences

NUM_HELD_OUT = 300
NUM_OF_KIND = NUM_HELD_OUT // len(HELD_OUT_KINDS)
SPEAKERS_PER_UTTERANCE = 2

# How many candidates there are. Fixed: others would change what is held out.
FILLS_PER_FRAME = 12
NUM_TEXTS = 1000
NUM_WORD_LISTS = 3000


@dataclass(frozen=True, slots=True)
class HeldOutUtterance:
    """A held-out utterance; it consists of held-out sentences only."""

    number: int
    speakers: tuple[str, ...]
    kind: Kind
    sentences: tuple[str, ...]
    symbols: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the fields of an utterance that is trained on, and all `speakers`."""
        return {
            "number": self.number,
            "speaker": self.speakers[0],
            "speakers": list(self.speakers),
            "kind": self.kind,
            "text": join(self.sentences),
            "sentences": list(self.sentences),
            "symbols": list(self.symbols),
        }


@dataclass(frozen=True, slots=True)
class _Text:
    kind: Kind
    sentences: tuple[str, ...]
    symbols: tuple[str, ...]


def held_out_utterances(
    corpus: Corpus, phonemizer: Phonemizer, *, speakers: Sequence[str]
) -> list[HeldOutUtterance]:
    """Returns the held-out utterances. Kinds take turns, so that each part has all of them."""
    texts = _choose_texts(corpus, phonemizer)
    # Assigned kind by kind, so that each speaker has about as many of each.
    pairs = assign_speakers([join(text.sentences) for text in texts], speakers)
    utterances = []
    for i, (pair, text) in enumerate(zip(pairs, texts, strict=True)):
        of_kind, rank = divmod(i, NUM_OF_KIND)
        number = rank * len(HELD_OUT_KINDS) + of_kind
        utterances.append(HeldOutUtterance(number, pair, text.kind, text.sentences, text.symbols))
    return sorted(utterances, key=lambda utterance: utterance.number)


def _choose_texts(corpus: Corpus, phonemizer: Phonemizer) -> list[_Text]:
    """Returns the texts, kind by kind; no sentence is in two of them."""
    used: set[str] = set()
    texts: list[_Text] = []
    for kind in HELD_OUT_KINDS:
        num_texts = len(texts)
        for sentences in sorted(_candidates(corpus, kind), key=lambda c: (text_hash(join(c)), c)):
            plain = set(map(normalise, sentences))
            if plain & used:
                continue
            symbols = read_sentences(sentences, phonemizer)
            if symbols is not None:
                used |= plain
                texts.append(_Text(kind, sentences, symbols))
            if len(texts) == num_texts + NUM_OF_KIND:
                break
        else:
            num_found = len(texts) - num_texts
            raise TrainingError(f"WordNet has only {num_found} held-out texts of kind {kind}")
    return texts


def assign_speakers(texts: Iterable[str], speakers: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the speakers of each text: those with the fewest so far, ties by a hash."""
    num_texts = Counter(dict.fromkeys(speakers, 0))
    pairs = []
    for text in texts:

        def order(speaker: str, text: str = text) -> tuple[int, str]:
            return num_texts[speaker], hash_bytes(f"{speaker}/{normalise(text)}".encode())

        pair = tuple(sorted(num_texts, key=order)[:SPEAKERS_PER_UTTERANCE])
        num_texts.update(pair)
        pairs.append(pair)
    return pairs


def _candidates(corpus: Corpus, kind: Kind) -> Iterator[tuple[str, ...]]:
    """Yields the sentences of each text of a kind that can be held out."""
    if kind in NUM_SENTENCES:
        for i in range(NUM_TEXTS):
            rng = Random(f"held out/{kind}/{i}")
            yield tuple(draw_sentences(corpus, kind, rng, with_short=False))
    elif kind is Kind.WORDS:
        for i in range(NUM_WORD_LISTS):
            words = draw_words(corpus, Random(f"held out/{kind}/{i}"))
            if is_held_out(words):
                yield (words,)
    else:
        for sentence in corpus.examples[kind]:
            yield (sentence,)
        for frame in corpus.frames[kind]:
            for i in range(FILLS_PER_FRAME):
                yield (fill(frame, corpus.fillers, Random(f"held out/{frame}/{i}")),)
