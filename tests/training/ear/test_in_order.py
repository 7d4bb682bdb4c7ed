"""Which words and sentences were heard."""

import pytest

from training.ear.in_order import are_heard, find_lost, is_whole


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        ("a b c d", "1111"),
        ("", "0000"),
        ("b d", "0101"),
        ("x a y c", "1010"),
        # In order: of "d" and "a", only one counts.
        ("d a", "0001"),
        ("a a b b", "1100"),
    ],
)
def test_words_are_heard_in_order(heard: str, found: str) -> None:
    flags = are_heard(["a", "b", "c", "d"], heard.split())
    assert "".join(str(int(flag)) for flag in flags) == found


@pytest.mark.parametrize(
    ("heard", "lost"),
    [
        ("Wait a moment. I think I know the answer.", []),
        ("Wait a moment", ["I think I know the answer."]),
        ("I think I know the answer", ["Wait a moment."]),
        ("Weight a moment I sink I no the answer", []),
        ("Wait the man. I think", ["Wait a moment.", "I think I know the answer."]),
        ("", ["Wait a moment.", "I think I know the answer."]),
    ],
)
def test_a_sentence_is_lost_if_less_than_half_of_it_was_heard(heard: str, lost: list[str]) -> None:
    assert find_lost(["Wait a moment.", "I think I know the answer."], heard) == lost


def test_numbers_count_as_their_words() -> None:
    assert find_lost(["It costs $5."], "it costs five dollars") == []


@pytest.mark.parametrize(
    ("text", "heard", "expected"),
    [
        ("I think I know the answer.", "I think I know the answer", True),
        ("I think I know the answer.", "I sink I know the ants", True),
        ("I think I know the answer.", "I think I know", False),
        ("Yes.", "yes", True),
        ("Yes.", "", False),
    ],
)
def test_whether_a_text_was_heard_to_its_end(text: str, heard: str, expected: bool) -> None:
    assert is_whole(text, heard) is expected
