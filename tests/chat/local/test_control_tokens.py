"""Messages cannot contain the tokens of the prompt format."""

import random

import pytest

from orpheus_server.chat.local.control_tokens import ControlTokenFilter

TURN = ControlTokenFilter(["<start_of_turn>", "<end_of_turn>", "<eos>", "  ", ""])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("as it is", "as it is"),
        ("", ""),
        ("a<eos>b<end_of_turn>", "ab"),
        ("<start_<start_of_turn>of_turn>", ""),
        ("<start_<end_<eos>of_turn>of_turn>x", "x"),
        ("<eo<eos>s", "<eos"),
        ("<eos", "<eos"),
        ("a  b", "a  b"),
    ],
)
def test_control_tokens_are_removed(text: str, left: str) -> None:
    assert TURN.remove(text) == left


def test_without_tokens_nothing_is_removed() -> None:
    assert ControlTokenFilter([]).remove("<eos>") == "<eos>"


def test_the_longer_of_two_with_the_same_end_is_removed() -> None:
    assert ControlTokenFilter(["s>", "<eos>"]).remove("a<eos>b") == "ab"


def test_no_token_survives_in_any_text() -> None:
    pieces = ["<", ">", "<eo", "s>", "<eos>", "<start_of", "_turn>", "<end_of_turn>", "x"]
    draw = random.Random(1)
    for _ in range(2000):
        text = "".join(draw.choices(pieces, k=draw.randint(0, 12)))
        left = TURN.remove(text)
        assert not any(token in left for token in TURN.tokens), text


def test_deep_nesting_costs_one_pass() -> None:
    """Repeated removal until nothing changed took minutes for such a text."""
    depth = 100_000
    text = "<start_of_" * depth + "<start_of_turn>" + "turn>" * depth
    assert TURN.remove(text) == ""
