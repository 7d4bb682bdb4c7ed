import pytest

from training.texts import common_words, frames, lists, short_answers
from training.texts.decency import is_decent


@pytest.mark.parametrize("text", ["it was a murder", "Nazis marched", "a naked man", "damned"])
def test_unpleasant_texts_are_noticed(text: str) -> None:
    assert not is_decent(text)


@pytest.mark.parametrize("text", ["an analysis", "rapid growth", "Japan", "a jewel", "grape"])
def test_words_that_begin_alike_are_not(text: str) -> None:
    assert is_decent(text)


def test_our_own_lists_are_decent() -> None:
    texts = [
        *(frame for group in frames.FRAMES.values() for frame in group),
        *(*common_words.THINGS, *common_words.PERSONS, *common_words.ANIMALS, *common_words.FOODS),
        *(*common_words.TOPICS, *common_words.QUALITIES, *common_words.MOODS),
        *(*common_words.MANNERS, *common_words.ACTIONS, *common_words.HANDLINGS),
        *(*lists.FIRST_NAMES, *lists.SURNAMES, *lists.CITIES, *lists.PLACES, *lists.STREETS),
        *short_answers.SHORT_ANSWERS,
    ]
    assert [text for text in texts if not is_decent(text)] == []
