"""Ids from text that is cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.engine.custom_tokens import CustomTokenParser

TEXT = (
    "<custom_token_10><custom_token_4105>\n é<custom_<custom_token_0>token_7> <custom_token_28681>"
)
IDS = [110, 4205, 100, 28781]
NUM_OTHER_CHARS = len("\n é<custom_token_7> ")


def ids_of(pieces: list[str]) -> tuple[list[int], int]:
    parser = CustomTokenParser(100)
    ids = [token_id for piece in pieces for token_id in parser.feed(piece)]
    parser.flush()
    return ids, parser.num_other_chars


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_cut_anywhere(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    assert ids_of(pieces) == (IDS, NUM_OTHER_CHARS)


@pytest.mark.parametrize("size", [1, 2, 3, 17])
def test_pieces_of_one_size(size: int) -> None:
    pieces = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]
    assert ids_of(pieces) == (IDS, NUM_OTHER_CHARS)


def test_an_id_is_yielded_with_its_last_character() -> None:
    parser = CustomTokenParser(0)
    assert parser.feed("<custom_token_12") == []
    assert parser.feed(">") == [12]


@pytest.mark.parametrize(
    "text",
    [
        *("<custom_token_>", "<custom_token_-1>", "<custom_token_1a>", "<custom_token_1234567890>"),
        *("<custom_token_\u0661>", "<CUSTOM_TOKEN_1>", "< custom_token_1>", "<|custom_token_1|>"),
        *("\ud83d<custom_tok\ufffden_1>", "custom_token_1>", "<custom_token_1"),
    ],
)
def test_what_is_not_a_token(text: str) -> None:
    assert ids_of([*text]) == ([], len(text))
    # What follows is not affected.
    assert ids_of([text, "<custom_token_3>"]) == ([103], len(text))


def test_memory_is_bounded() -> None:
    parser = CustomTokenParser(0)
    for _ in range(1000):
        assert parser.feed("<custom_token_" + "9" * 100) == []
    assert parser.num_other_chars >= 113_900
