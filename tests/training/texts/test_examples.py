import pytest

from training.texts.examples import as_sentence, sentences
from training.texts.kinds import Kind
from training.texts.wordnet import Example


@pytest.mark.parametrize(
    ("part", "words", "text", "sentence"),
    [
        ("noun", "aim", "he had no aim in life", "He had no aim in life."),
        (
            "noun",
            "aim",
            "the aim is clear; nobody missed it",
            "The aim is clear; nobody missed it.",
        ),
        ("noun", "aim", "she's the den mother", "She's the den mother."),
        ("noun", "aim", "what is the aim", "What is the aim?"),
        ("noun", "aim", "do you see the aim", "Do you see the aim?"),
        ("noun", "aim", "what a lovely day it was", None),
        ("noun", "aim", "please send the letter", "Please send the letter."),
        ("noun", "doctor", "Dr. Smith is late", "Dr. Smith is late."),
        ("verb", "fold", "fold the napkins", "Fold the napkins."),
        ("verb", "work", "Get back to work!", "Get back to work!"),
        ("noun", "folding", "a double fold", None),
        ("noun", "walk", "the long walk that was taken", None),
        ("adv", "closely", "was closely involved in it", None),
        ("noun", "aim", "it is", None),
        ("noun", "aim", "he said: `stop'", None),
        ("noun", "aim", "it is the letter q", None),
        ("noun", "aim", "it was in 55 BC", None),
        ("noun", "aim", "He came. He was late", None),
        ("noun", "aim", "it was murder, he said", None),
        ("noun", "aim", " ".join(["it is far"] * 9), None),
    ],
)
def test_only_clean_sentences_are_used(
    part: str, words: str, text: str, sentence: str | None
) -> None:
    assert as_sentence(Example(part, (words,), text)) == sentence


def test_sorts_by_kind_and_drops_repetitions() -> None:
    texts = ["it is late", "is it late?", "It is late!", "hurry, it is late!"]
    examples = [Example("noun", ("late",), text) for text in texts]
    assert list(sentences(examples)) == [
        (Kind.EXCLAMATION, "It is late!"),
        (Kind.EXCLAMATION, "Hurry, it is late!"),
        (Kind.QUESTION, "Is it late?"),
    ]
