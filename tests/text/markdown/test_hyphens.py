"""Words that a line break has divided, with and without a dictionary."""

import pytest

from orpheus_server.text.markdown.hyphens import join_lines

WORDS = {"negative", "well", "known", "long", "term", "longterm", "twenty", "one", "check", "photo"}


@pytest.mark.parametrize(
    ("before", "after", "with_words", "without"),
    [
        ("the nega", "tive", "", ""),
        ("the Nega", "tive", "", ""),
        # Unknown words are more often broken words than compounds.
        ("phos", "phorylation", "", ""),
        ("well", "known", "-", "-"),
        ("(Well", "known", "-", "-"),
        ("twenty", "one", "-", "-"),
        ("an x", "ray", "", "-"),
        # Both readings sound the same.
        ("long", "term", "", "-"),
        ("one", "check", "-", "-"),
        # A second hyphen, a name and a number.
        ("state-of", "the", "-", "-"),
        ("Anglo", "American", "-", "-"),
        ("COVID", "19", "-", "-"),
        ("1990", "1995", "-", "-"),
        # The second word of "short- and long-term" is missing.
        ("short", "and", None, None),
        ("Nord", "und", None, None),
        ("pho", "to", "", None),
        ("1990", "known", "-", "-"),
        ("1990", "and", None, None),
    ],
)
def test_a_hyphen_at_the_end_of_a_line(
    before: str, after: str, with_words: str | None, without: str | None
) -> None:
    assert join_lines(before, "-", after, is_word=WORDS.__contains__) == with_words
    assert join_lines(before, "-", after, is_word=None) == without


@pytest.mark.parametrize("after", ["tive", "and", "One", "1"])
def test_a_soft_hyphen_is_never_part_of_a_word(after: str) -> None:
    assert join_lines("nega", "\xad", after, is_word=None) == ""
