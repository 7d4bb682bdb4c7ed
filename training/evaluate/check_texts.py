"""Texts of the checks for lost sentences and for the shortest speech: drawn with a fixed seed.

All are of the held-out corpus, and of a list of dialogue that nothing was trained on.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from training.texts.corpus import Corpus
from training.texts.drawing import WEIGHTS, draw_sentences
from training.texts.kinds import NUM_SENTENCES, Kind

DIALOGUE_FILE = Path(__file__).with_name("dialogue.txt")
SEED = 1

Sentences = tuple[str, ...]


def several_sentences(corpus: Corpus, num_texts: int) -> list[Sentences]:
    """Returns texts of two and three sentences: the dialogue, then as many drawn as are missing."""
    texts = dialogue()[:num_texts]
    rng = Random(SEED)
    kinds = (Kind.TWO_SENTENCES, Kind.TWO_SENTENCES, Kind.THREE_SENTENCES)
    while len(texts) < num_texts:
        kind = kinds[len(texts) % len(kinds)]
        drawn = tuple(draw_sentences(corpus, kind, rng, with_short=True))
        if drawn not in texts:
            texts.append(drawn)
    return texts


def single_sentences(corpus: Corpus, num_texts: int) -> list[str]:
    """Returns sentences of every length and kind, short answers among them."""
    weights = {kind: weight for kind, weight in WEIGHTS.items() if kind not in NUM_SENTENCES}
    rng = Random(SEED)
    texts: dict[str, None] = {}
    while len(texts) < num_texts:
        kind = rng.choices(list(weights), list(weights.values()))[0]
        texts.setdefault(draw_sentences(corpus, kind, rng, with_short=True)[0])
    return list(texts)


def dialogue() -> list[Sentences]:
    lines: Sequence[str] = DIALOGUE_FILE.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(" | ")) for line in lines]
