"""Draws the sentences of one utterance from a corpus."""

from random import Random

from training.texts.corpus import Corpus
from training.texts.filling import fill
from training.texts.grammar import capitalise
from training.texts.kinds import NUM_SENTENCES, Kind
from training.texts.short_answers import ANSWERS, SHORT_ANSWERS

# Percent of utterances. Several sentences in four of ten: without them, a voice takes a full
# stop for the end of its text.
WEIGHTS = {
    **{Kind.STATEMENT: 26, Kind.QUESTION: 8, Kind.EXCLAMATION: 5, Kind.NUMBER: 7, Kind.DATE: 5},
    **{Kind.NAME: 4, Kind.WORDS: 2, Kind.SHORT: 4},
    **{Kind.TWO_SENTENCES: 21, Kind.THREE_SENTENCES: 12, Kind.FOUR_SENTENCES: 6},
}
# Of the sentences in an utterance of several.
PART_WEIGHTS = {
    **{Kind.STATEMENT: 62, Kind.QUESTION: 12, Kind.EXCLAMATION: 8},
    **{Kind.NUMBER: 7, Kind.DATE: 5, Kind.NAME: 6},
}
# How often a short answer stands for the first sentence, and for each of the others.
SHORT_FIRST, SHORT_LATER = 0.2, 0.06

# How often WordNet provides a sentence and not a frame. Most of its examples are statements: at
# these shares none of the few others comes up often.
EXAMPLE_SHARES = {Kind.STATEMENT: 0.88, Kind.QUESTION: 0.35, Kind.EXCLAMATION: 0.3}

MIN_WORDS, MAX_WORDS = 2, 9
# Longer lists of words have a comma.
MAX_WORDS_WITHOUT_COMMA = 3


def draw_kind(rng: Random) -> Kind:
    return rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]


def draw_sentences(corpus: Corpus, kind: Kind, rng: Random, *, with_short: bool) -> list[str]:
    """Draws the sentences of an utterance, none of them twice and no two from one frame.

    `with_short` lets a short answer be among several sentences: at most one, so that the number
    of sentences still means something.
    """
    if kind not in NUM_SENTENCES:
        return [draw_sentence(corpus, kind, rng)[0]]
    by_source: dict[str, str] = {}
    has_short = not with_short
    while len(by_source) < NUM_SENTENCES[kind]:
        if not has_short and rng.random() < (SHORT_LATER if by_source else SHORT_FIRST):
            has_short = True
            answer = rng.choice(ANSWERS)
            by_source[answer] = answer
            continue
        part = rng.choices(list(PART_WEIGHTS), list(PART_WEIGHTS.values()))[0]
        sentence, source = draw_sentence(corpus, part, rng)
        by_source.setdefault(source, sentence)
    return list(by_source.values())


def draw_sentence(corpus: Corpus, kind: Kind, rng: Random) -> tuple[str, str]:
    """Draws a sentence; returns also what it was made from, a frame or itself."""
    if kind is Kind.SHORT:
        sentence = rng.choice(SHORT_ANSWERS)
    elif kind is Kind.WORDS:
        sentence = draw_words(corpus, rng)
    elif corpus.examples[kind] and rng.random() < EXAMPLE_SHARES[kind]:
        sentence = rng.choice(corpus.examples[kind])
    else:
        frame = rng.choice(corpus.frames[kind])
        return fill(frame, corpus.fillers, rng), frame
    return sentence, sentence


def draw_words(corpus: Corpus, rng: Random) -> str:
    """Draws words that have nothing to do with each other: no guess helps to say or hear them."""
    words = rng.sample(corpus.words, rng.randint(MIN_WORDS, MAX_WORDS))
    if len(words) > MAX_WORDS_WITHOUT_COMMA:
        words[rng.randrange(1, len(words) - 2)] += ","
    return capitalise(" ".join(words)) + rng.choices(".?!", (8, 1, 1))[0]
