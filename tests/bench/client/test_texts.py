"""The texts have the stated lengths, and are plain English that every model can speak."""

import re

import pytest

from orpheus_server.bench.client.texts import LENGTHS, LONG, MEDIUM, SHORT, sentences_for, text_for


@pytest.mark.parametrize(
    ("texts", "expected_sec", "least"), [(SHORT, 3, 8), (MEDIUM, 10, 5), (LONG, 60, 4)]
)
def test_lengths(texts: tuple[str, ...], expected_sec: float, least: int) -> None:
    """The published voices speak about 15 characters a second."""
    assert len(set(texts)) == len(texts) >= least
    for text in texts:
        assert len(text) / 15 == pytest.approx(expected_sec, rel=0.15), text


def test_the_texts_are_plain_words() -> None:
    for text in (*SHORT, *MEDIUM, *LONG):
        assert re.fullmatch(r"[A-Za-z ,.?:;]+", text), text
        assert "  " not in text
        assert text[-1] in ".?"
    assert all(len(re.findall(r"[.?]", text)) == 1 for text in SHORT)


def test_texts_repeat_in_order() -> None:
    assert LENGTHS == ("short", "medium", "long")
    assert [text_for("medium", index) for index in range(7)] == [*MEDIUM, MEDIUM[0]]


def test_users_of_a_burst_say_different_sentences() -> None:
    assert sentences_for(0, num_sentences=2) == f"{SHORT[0]} {SHORT[1]}"
    assert sentences_for(1, num_sentences=2) == f"{SHORT[2]} {SHORT[3]}"
