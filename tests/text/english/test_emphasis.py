"""Words in capitals, drawn-out words, and initials in small letters."""

import pytest

from orpheus_server.text.english.emphasis import shorten_drawn_out_words
from tests.support.readings import reading_test

READINGS = {
    "The US IT market": "The U S I T market",
    "The WHO said so.": "The W H O said so.",
    "the US ARMY": "the U S army",
    "GIVE US MORE": "give us more",
    "IT IS": "it is",
    "It was sooooo good": "It was so good",
    "HEYYYYYYYY!!!": "hey!",
    f"{'R' * 900}AW": "raw",
    f"RA{'W' * 900}": "raw",
    "noooo, yesss, pleeeease": "no, yes, please",
    "cooool, goooood, freeee, meeee": "cool, good, free, me",
    "alllll, offff, looooong": "all, off, long",
    "hmmmm and aaaaah": "hmm and ah",
    "IEEE, AAA, WWW, XXX": "I E E E, A. A. A., W W W, X X X",
    "part III": "part three",
    "a pdf from gpt": "a P D F from G P T",
    "the nth, hmm, psst": "the nth, hmm, psst",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sooooo", "so"),
        ("COOOOL", "cool"),
        ("aaarghhhh", "argh"),
        ("AAAAAAAA", "AAA"),
        ("www IEEE III", "www IEEE III"),
        ("aaabbbccc", "abc"),
        ("committee", "committee"),
    ],
)
def test_without_a_lexicon_the_likeliest_spelling_is_used(text: str, expected: str) -> None:
    assert shorten_drawn_out_words(text, lambda word: False) == expected
