"""Which full stops end a sentence, by the words on both sides."""

import pytest

from orpheus_server.text.word_breaks import BreakStrength, needs_whole_word, rate_break


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *(("Inc.", "She"), ("Ltd.", "It"), ("Co.", "The"), ("Jr.", "He"), ("St.", "The")),
        *(("Ave.", "There"), ("dept.", "They"), ("al.", "This"), ("Ph.D.", "He")),
        *(("U.S.", "The"), ("U.N.", "It"), ("J.R.", "He"), ("12.", "The"), ("5.", "Then")),
        *(("7.", "Please"), ("24.", "Danach"), ("24.", "Es"), ("12.)", "The"), ("12.", '"The')),
        *(
            ("etc.", "They"),
            ("p.m.", "Tomorrow"),
            ("I.", "They"),
            ("No.", "They"),
            ("2024.", "Rom"),
        ),
        *(("Rome.", "The"), ("it?", "the"), ("it!", "The")),
    ],
)
def test_a_sentence_ends(left: str, right: str) -> None:
    assert rate_break(left, right) is BreakStrength.SENTENCE


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *(("Dr.", "Smith"), ("Dr.", "No"), ("Mr.", "The"), ("Mrs.", "Ng"), ("Prof.", "It")),
        *(("Inc.", "Bar"), ("Ltd.", "of"), ("St.", "Louis"), ("St.", "John"), ("Jr.", "and")),
        *(("U.S.", "Army"), ("U.S.", "army"), ("e.g.", "The"), ("a.k.a.", "The"), ("i.e.", "He")),
        *(("24.", "Dezember"), ("24.", "und"), ("No.", "5"), ("Dec.", "24"), ("J.", "Smith")),
        *(("Gen.", "Lee"), ("Fig.", "3"), ("etc.", "and"), ("a.m.", "and"), ("Mt.", "Everest")),
    ],
)
def test_a_sentence_goes_on(left: str, right: str) -> None:
    assert rate_break(left, right) < BreakStrength.SENTENCE


@pytest.mark.parametrize(
    ("left", "is_needed"),
    [("U.S.", True), ("12.", True), ("St.", True), ('Inc."', True), ("Dr.", False), ("it.", False)],
)
def test_when_the_first_letter_of_the_next_word_is_not_enough(left: str, is_needed: bool) -> None:
    """Streamed text waits for the word in these cases only."""
    assert needs_whole_word(left) is is_needed
