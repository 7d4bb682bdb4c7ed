"""Emotion tags and normalisation."""

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orpheus_server.text.cleaning import CleanText, clean_text, is_speakable
from orpheus_server.text.duration import estimate_duration_sec

TAGS = frozenset({"laugh", "sigh", "작은 웃음", "咳"})
ALL_TAGS = TAGS | {"gemito", "轻笑", "happy", "sad", "счастье", "खुशी"}

# Characters and fragments that interact: brackets, tokens, joiners, marks, every kind of space.
FRAGMENTS = st.sampled_from(
    ["<", ">", "|", "/", "<laugh>", "<LAUGH>", "<happy>", "<|eot_id|>", "<custom_token_", "5>"]
    + ["<작은", " 웃음>", "\u200d", "\u200b", "\u0301", "\u0344", "क", "ष", "\u094d", "\u0958"]
    + [" ", "\t", "\r\n", "\n", "\x1f", "\x85", "\u00a0", "\ud800", ".", ",", "a", "b", "1", "K"]
)
HOSTILE_TEXTS = [
    "e" + "\u0301" * 4096,
    "e" + "\u0301\u0323" * 2048,
    "ab" * 15_000,
    "<" * 30_000,
    "<|" * 8_000 + "|>" * 8_000,
    "<a" * 16_000,
    "<a>" * 10_000 + "x",
    "<|x|>" * 6_500,
    " " * 30_000 + "a",
    "\n " * 16_000,
    "\u200d" * 32_000,
    ". " * 16_000,
    "你" * 32_768,
]


def clean(text: str) -> str:
    return clean_text(text, tags=TAGS, all_tags=ALL_TAGS).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi <laugh> there", "Hi <laugh> there"),
        ("<LAUGH>Hi", "<laugh>Hi"),
        ("네 <작은 웃음> 네", "네 <작은 웃음> 네"),
        ("네 <작은\n 웃음> 네", "네 <작은 웃음> 네"),
        (unicodedata.normalize("NFD", "네 <작은 웃음>"), "네 <작은 웃음>"),
        ("<咳> 好", "<咳> 好"),
        ("<la\u200bugh> Hi", "<laugh> Hi"),
    ],
)
def test_a_tag_of_the_voice_is_kept_in_canonical_form(text: str, expected: str) -> None:
    assert clean_text(text, tags=TAGS, all_tags=ALL_TAGS) == CleanText(expected, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected", "num_dropped"),
    [
        ("I am <happy> now", "I am now", 1),
        ("I am <HAPPY>, now", "I am, now", 1),
        ("Well <happy> <sad>.", "Well.", 2),
        ("one<happy>two", "one two", 1),
        ("<laugh/> </laugh> Hi", "Hi", 2),
        ("<счастье> да", "да", 1),
        ("<खुशी> हाँ", "हाँ", 1),
        ("ah <gemito> ah", "ah ah", 1),
        ("好<轻笑>好", "好 好", 1),
        ("<ha<happy>>", "<ha >", 1),
    ],
)
def test_a_tag_that_the_voice_lacks_is_dropped(text: str, expected: str, num_dropped: int) -> None:
    """canopyai#15, #55, #66: words like <happy> were read aloud by the released model."""
    assert clean_text(text, tags=TAGS, all_tags=ALL_TAGS) == CleanText(expected, num_dropped, 0)


@pytest.mark.parametrize(
    "text",
    [
        "a < b",
        "<b",
        "x <y",
        "I <3 you",
        "1 < 2 > 0",
        "a < b and c > d",
        "<>",
        "><",
        "-> x",
        "a <b and c> d",
    ]
    + ["<two words>", "<" + "abc" * 7 + ">", "<a1b2>", "<b <laugh>"],
)
def test_other_angle_brackets_are_kept(text: str) -> None:
    assert clean_text(text, tags=TAGS, all_tags=ALL_TAGS) == CleanText(text, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Press <enter> now", "Press enter now"), ("List<String> a", "List String a")],
)
def test_a_word_that_is_not_a_tag_loses_only_its_brackets(text: str, expected: str) -> None:
    assert clean_text(text, tags=TAGS, all_tags=ALL_TAGS) == CleanText(expected, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected", "num_dropped"),
    [
        ("a <custom_token_123> b", "a b", 1),
        ("a<CUSTOM_TOKEN_1>b", "a b", 1),
        ("<custom_to\u212aen_7>", "", 1),
        ("a <|eot_id|> b", "a b", 1),
        ("<|anything at all|>", "", 1),
        ("<|eot_<|x|>id|>", "", 2),
        ("<|eot\u200b_id|>", "", 1),
        ("<custom_<custom_token_1>token_5>", "<custom_ token_5>", 1),
        ("<custom_<|x|><|y|>token_5>", "<custom_ token_5>", 2),
    ],
)
def test_control_tokens_are_dropped_however_nested(
    text: str, expected: str, num_dropped: int
) -> None:
    """Fault case 4: a text with <|eot_id|> or an audio token ended or corrupted a generation."""
    assert clean_text(text, tags=TAGS) == CleanText(expected, 0, num_dropped)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\ud800b", "ab"),
        ("a\x00b\x07", "ab"),
        ("\ufeffa\u202eb\u00ad\u200bc\ue000\uffff", "abc"),
        ("a\tb \u00a0 \u3000c", "a b c"),
        ("a\x0bb\x85c\u2028d", "a\nb\nc\nd"),
        ("a \r\n b", "a\nb"),
        ("a\n\n\n\nb\n \n \nc", "a\n\nb\n\nc"),
        ("  a  ", "a"),
        ("e\u0301", "\u00e9"),
        ("क्\u200dष न्\u200cम", "क्\u200dष न्\u200cम"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a \u200d b\u200d", "a b"),
        ("x" + "\u0336" * 20 + "y", "x" + "\u0336" * 8 + "y"),
        ("Bravo !", "Bravo !"),
        ("R" * 900 + "AW, no" + "o" * 20, "R" * 16 + "AW, n" + "o" * 16),
        ("哈" * 40 + " " + "7" * 40 + " " + "-" * 40, "哈" * 40 + " " + "7" * 40 + " " + "-" * 40),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert clean(text) == expected


@settings(deadline=None)
@given(st.text(st.characters()) | st.lists(FRAGMENTS).map("".join))
@example("<custom_<custom_token_1>token_5>")
@example("<|<|<||>|>|>")
def test_clean_text_is_stable_encodable_and_free_of_tokens(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    cleaned.encode()
    assert not re.search(r"<\|[^<>]*\|>|<custom_token_\d+>", cleaned, re.IGNORECASE)
    assert not re.search(r"  |\n\n\n|[\r\t\x00]|^\s|\s$", cleaned)


@settings(deadline=None)
@given(st.text("abc ,.\n"))
def test_plain_text_keeps_its_words(text: str) -> None:
    assert clean(text).split() == text.split()


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=lambda text: ascii(text[:4]))
def test_hostile_text_is_cleaned(text: str) -> None:
    """Fault case 3: 4096 combining marks or one endless word must not block the server."""
    cleaned = clean(text)
    assert len(cleaned) <= len(text)
    is_speakable(text, tags=TAGS)
    assert estimate_duration_sec(text) >= 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", True),
        ("7", True),
        ("你", True),
        ("<laugh>", True),
        ("... <작은 웃음>", True),
        ("<b>", True),
        ("", False),
        (" \n", False),
        ("?!... — «»", False),
        ("😀 ❤️", False),
        ("%", False),
        ("<happy>", False),
        ("< >", False),
        ("\u0301", False),
    ],
)
def test_is_speakable(text: str, expected: bool) -> None:
    assert is_speakable(text, tags=TAGS) is expected
