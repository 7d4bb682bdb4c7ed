"""Kinds of utterances."""

from enum import StrEnum


class Kind(StrEnum):
    STATEMENT = "statement"
    QUESTION = "question"
    EXCLAMATION = "exclamation"
    NUMBER = "number"
    DATE = "date"
    NAME = "name"
    TWO_SENTENCES = "two_sentences"
    THREE_SENTENCES = "three_sentences"
    FOUR_SENTENCES = "four_sentences"
    WORDS = "words"
    SHORT = "short"


# Kinds of one sentence that WordNet's examples or frames provide.
SENTENCE_KINDS = (
    *(Kind.STATEMENT, Kind.QUESTION, Kind.EXCLAMATION),
    *(Kind.NUMBER, Kind.DATE, Kind.NAME),
)
NUM_SENTENCES = {Kind.TWO_SENTENCES: 2, Kind.THREE_SENTENCES: 3, Kind.FOUR_SENTENCES: 4}
# Short answers are always trained on, so they are not a kind that can be held out.
HELD_OUT_KINDS = tuple(kind for kind in Kind if kind is not Kind.SHORT)
