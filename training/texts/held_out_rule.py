"""Decides by the normalised text which sentences and frames are held out, for good."""

from functools import cache
from pathlib import Path

from training.texts.normalising import normalise, text_hash

# One sentence of this many is held out. There are 20 times as many as are needed, so that those
# that are chosen vary; raising the number would train on sentences that were held out.
SENTENCE_MODULUS = 20
# Frames are few, so that more of them must be held out for each kind to have some.
FRAME_MODULUS = 5

JUDGE_FILE = Path(__file__).with_name("judge.txt")


def is_held_out(sentence: str) -> bool:
    """Whether a sentence must not be trained on, whatever it was made from."""
    return text_hash(sentence) % SENTENCE_MODULUS == 0 or normalise(sentence) in judge_sentences()


def is_frame_held_out(frame: str) -> bool:
    """Whether no training sentence may be made from a frame."""
    return text_hash(frame) % FRAME_MODULUS == 0


@cache
def judge_sentences() -> frozenset[str]:
    """Returns the sentences of judge.txt, normalised: voices have been compared by them."""
    lines = JUDGE_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(map(normalise, filter(None, lines)))
