"""Texts of the checks: fixed, and of the wanted number of sentences."""

from training.evaluate.check_texts import dialogue, several_sentences, single_sentences
from training.texts.corpus import Corpus
from training.texts.drawing import EXAMPLE_SHARES
from training.texts.frames import FRAMES
from training.texts.kinds import SENTENCE_KINDS

EXAMPLES = {
    kind: [f"{kind.capitalize()} {n} is here." for n in range(200) if kind in EXAMPLE_SHARES]
    for kind in SENTENCE_KINDS
}
CORPUS = Corpus(EXAMPLES, dict.fromkeys(FRAMES, ["It is so."]), ["one", "two", "three"] * 9, {})


def test_dialogue_of_two_and_three_sentences() -> None:
    assert {len(each) for each in dialogue()} == {2, 3}
    assert all(sentence.endswith((".", "!", "?")) for each in dialogue() for sentence in each)
    assert ("Wait a moment.", "I think I know the answer.") in dialogue()


def test_several_sentences_begin_with_the_dialogue() -> None:
    texts = several_sentences(CORPUS, 100)
    assert len(set(texts)) == 100
    assert texts[: len(dialogue())] == dialogue()
    assert {len(each) for each in texts} == {2, 3}
    assert several_sentences(CORPUS, 100) == texts
    assert several_sentences(CORPUS, 3) == dialogue()[:3]


def test_single_sentences() -> None:
    texts = single_sentences(CORPUS, 100)
    assert len(set(texts)) == 100
    assert single_sentences(CORPUS, 100) == texts
