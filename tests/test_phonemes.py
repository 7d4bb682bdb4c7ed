"""`phonemes.py` against gruut as it is shipped, with the voice's rules written a second time."""

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import gruut
import pytest
from gruut.const import Word
from gruut.utils import find_lang_dir
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.phonemes import GruutPhonemizer, build_phonemizer

# None only where the English data is not installed, and gruut requires it.
LANG_DIR = cast(Path, find_lang_dir("en-us"))
LEXICON = LANG_DIR / "lexicon.db"


def lexicon_words() -> list[str]:
    """Every 97th word of gruut's lexicon, and all whose pronunciation depends on their role."""
    with closing(sqlite3.connect(f"{LEXICON.as_uri()}?immutable=1", uri=True)) as connection:
        rows = connection.execute(
            "SELECT DISTINCT word FROM word_phonemes WHERE id % 97 = 0 OR role <> '' ORDER BY id"
        )
        return [word for (word,) in rows]


SENTENCES = [
    "The old captain walked slowly along the harbour while gulls circled over the boats.",
    "Nobody expected the committee to approve such an expensive bridge across the river.",
    "She bought 3 apples, 12 pears and 1,250 plums.",
    "It weighs 3.75 kilograms, not -4 or 0.5.",
    "That is 25 dollars: really?",
    "He paid $3.50 for bread, £20 for wine and €1,000 for the painting.",
    "It costs $5.",
    "They met on 11/12/2020 and again on 2021-03-05.",
    "The lease ends 31/02/2020.",
    "She was born on May 4, 1987.",
    "On March 3rd, 1999, it snowed.",
    "In 1066, 1900, 2000 and 2024 there were comets.",
    "Call me at 4:30 pm or 7:05 a.m., not at 12:00.",
    "The train leaves at 16:45.",
    "Dr. Brown and Mr. Green met Mrs. White on Main St. today.",
    "Jones Co. vs. Smith Ltd. is a famous case.",
    "The U.S. office of NASA sent a TTS report to the F.B.I.",
    "J. R. R. Tolkien wrote it.",
    "King Henry VIII had six wives, part II says.",
    "I read it yesterday.",
    "Please read it now.",
    "I have read the red book.",
    "She will lead the team.",
    "The pipe is made of lead.",
    "We live near a live wire.",
    "The wind was strong, so wind the clock.",
    "Record the record.",
    "They object to the object.",
    "Polish the Polish table.",
    "The dove dove into the bush.",
    "Close the door; it is too close.",
    "A tear fell; do not tear it.",
    "I don't know, you can't, we'll see, they're gone, it's o'clock.",
    "I don’t think it’s Ann’s.",
    "Don't Stop Me Now.",
    "The well-known twenty-one-year-old mother-in-law re-entered.",
    "A snake_case_name and a-b-c.",
    '"Engineers," she said, "often forget."',
    "'Single' and “curly” and «angled» quotes.",
    "He said (quietly) that [this] <is> *fine*.",
    "Wait... what? No! Yes; maybe: perhaps, then.",
    "A pause — and another – then… the end.",
    "Really?! Never!! Who??",
    "Colon : semicolon ; comma , stop .",
    "The frobnicated zxqvor glimmerwumps blorptastically.",
    "Kubernetes, ChatGPT and PyTorch are tools.",
    "HELLO WORLD, THIS IS LOUD.",
    "Write to jane.doe@example.com today.",
    "See https://example.com/a/b?c=1&d=2 or www.example.org.",
    "The 1st, 2nd, 3rd, 4th, 21st and 100th.",
    "About 50% of 99.9% agree.",
    "AT&T & friends use C++ and #hashtags.",
    "A naïve café in Zürich serves crème brûlée.",
    "Version 2.4.0 of 10.0.0.1.",
    "1/2 cup, 3/4 spoon.",
    "Phone 555-1234 or +1 800 555 0199.",
    "Numbers: 123456789012345.",
    "It is -5°C outside.",
    "   leading and   double   spaces\nand\tlines   ",
    "No final stop",
    ", a comma first",
    "The apple, the end: the A and a B.",
    "I",
]

# Each of these is a fault or a trap of gruut, or of the libraries below it, on hostile text.
HOSTILE = {
    "empty": "",
    "spaces": " \t\n\u00a0 ",
    "punctuation": "?!...,;:—",
    "commas": "," * 500,
    "quotes": '"' * 500,
    "emoji": "😀👍🏽❤️",
    "digits": "9" * 4000,
    "grouped digits": "9," * 500,
    "ordinal of many digits": "9" * 400 + "th",
    "price of many digits": "$" + "9" * 400,
    "exponent": "1e999999",
    "negative exponent": "1e-999999",
    "price with exponent": "$1e300",
    "not numbers": "nan inf -inf NaN sNaN",
    "impossible date": "31/02/2020",
    "endless date": "1/1" + "/1" * 2000,
    "impossible time": "99:99 25:61 pm",
    "surrogates": "\ud800\udfff",
    "control": "".join(map(chr, range(32))) * 10,
    "bidi": "\u202e\u200b\ufeff",
    "cjk": "你好世界 こんにちは 안녕하세요",
    "no spaces": "x" * 500,
    "digits of other scripts": "٣٤٥ ९९ ½ ² Ⅷ",
    "formats": "%s {} {0} {M} <b> &amp; </speak>",
}


@pytest.fixture(scope="module")
def phonemizer() -> GruutPhonemizer:
    return build_phonemizer("gruut/en-us")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """The voice's rules over gruut with its own code and models.

    Only its lexicon has an index here, which changes no answer and saves 0.1 s a sentence. Its
    cache starts empty for every text: what gruut has read before changes how it splits some words.
    """
    lang_dir = tmp_path_factory.mktemp("en-us")
    for model in ("pos", "g2p"):
        (lang_dir / model).symlink_to(LANG_DIR / model)
    database = lang_dir / "lexicon.db"
    database.write_bytes(LEXICON.read_bytes())
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE INDEX by_word ON word_phonemes (word, pron_order)")
    processor = gruut.TextProcessor(default_lang="en-us", lang_dirs={"en-us": lang_dir})
    lexicon: Any = processor.get_settings("en-us").lookup_phonemes
    lexicon("load")

    def read(text: str) -> list[str]:
        lexicon.phonemizer.lexicon.clear()
        graph, root = processor(text, lang="en-us")
        words = [word for sentence in processor.sentences(graph, root) for word in sentence]
        return apply_rules(words)

    return read


def apply_rules(words: list[Word]) -> list[str]:
    """Words joined by marks within each run of words; stops as they come; a stop at the end."""
    said: list[tuple[bool, str]] = []
    for word in words:
        if word.phonemes and not word.is_major_break and not word.is_minor_break:
            said.append((False, " ".join(word.phonemes)))
        elif word.text.strip() in list(".,!?;:"):
            said.append((True, word.text.strip().replace(";", ",").replace(":", ",")))
    out: list[str] = []
    for is_stop, run in groupby(said, key=lambda item: item[0]):
        out += (" " if is_stop else " _ ").join(text for _, text in run).split()
    return out if out and out[-1] in {".", "!", "?"} else [*out, "."]


@pytest.mark.parametrize("text", SENTENCES)
def test_same_as_gruut(
    phonemizer: GruutPhonemizer, reference: Callable[[str], list[str]], text: str
) -> None:
    assert phonemizer.phonemes(text) == reference(text)


def test_reference_is_gruut_itself(reference: Callable[[str], list[str]]) -> None:
    text = "Lead us; the U.S. paid $5.50, didn't it?"
    words = [word for sentence in gruut.sentences(text, lang="en-us") for word in sentence]
    assert reference(text) == apply_rules(words)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "", "", '"', "(", "'", "$", "12", "-"]),
            st.sampled_from(lexicon_words()).flatmap(
                lambda w: st.sampled_from([w, w, w.title(), w.upper()])
            ),
            st.sampled_from(["", "", "", ",", ".", "?", "!", ";", ":", "...", '"', ")", "’s", "%"]),
        ).map("".join),
        min_size=1,
        max_size=14,
    ).map(" ".join)
)
def test_same_as_gruut_on_random_sentences(
    phonemizer: GruutPhonemizer, reference: Callable[[str], list[str]], text: str
) -> None:
    assert phonemizer.phonemes(text) == reference(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Hello there; this is 25 dollars: really?",
            "h ɛ l ˈoʊ _ ð ˈɛ ɹ , ð ˈɪ s _ ˈɪ z _ t w ˈɛ n t i _ f ˈaɪ v _ d ˈɑ l ɚ z , ɹ ˈɪ l i ?",
        ),
        ("I read it.", "ˈaɪ _ ɹ ˈɛ d _ ˈɪ t ."),
        ("Please read it.", "p l ˈi z _ ɹ ˈi d _ ˈɪ t ."),
        ("TTS", "t ˈi _ t ˈi _ ˈɛ s ."),
        (
            "Dr. Wu costs $3.50!",
            "d ˈɑ k t ɚ _ w ˈu _ k ˈɔ s t s _ θ ɹ ˈi _ d ˈɑ l ɚ z _ f ˈɪ f t i _ s ˈɛ n t s !",
        ),
        ("(yes)", "j ˈɛ s ."),
        ("", "."),
        # Several marks in one are no stop that the voice knows, so it ends with the plain one.
        ("Really!?", "ɹ ˈɪ l i ."),
        ("Wait... what?", "w ˈeɪ t _ w ˈʌ t ?"),
    ],
)
def test_exact_phonemes(phonemizer: GruutPhonemizer, text: str, expected: str) -> None:
    assert phonemizer.phonemes(text) == expected.split()


def test_a_text_does_not_change_how_the_next_is_read(phonemizer: GruutPhonemizer) -> None:
    # gruut splits five of six commas off, finds "hello," under "hello", and from then on its cache
    # has "hello," for a word and loses the comma.
    first = phonemizer.phonemes("hello, you")
    phonemizer.phonemes("hello,,,,,, you")
    assert phonemizer.phonemes("hello, you") == first
    assert "," in first


def test_long_numbers_are_read_digit_by_digit(phonemizer: GruutPhonemizer) -> None:
    digits = " ".join("1234567890123456")
    assert phonemizer.phonemes("1234567890123456") == phonemizer.phonemes(digits)
    assert phonemizer.phonemes("1,234,567,890,123,456") == phonemizer.phonemes(digits)


def test_text_around_what_gruut_cannot_read_is_spoken(phonemizer: GruutPhonemizer) -> None:
    spoken = phonemizer.phonemes("Pay 1e99 now, please!")
    assert spoken == phonemizer.phonemes("Pay 1 e 9 9 now, please!")
    assert phonemizer.phonemes("caf\ud800e") == phonemizer.phonemes("cafe")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text(phonemizer: GruutPhonemizer, text: str) -> None:
    alone = phonemizer.phonemes(text)
    assert alone[-1] in {".", "!", "?"}
    spoken = phonemizer.phonemes(f"Hello {text} friends")
    assert spoken[:4] == ["h", "ɛ", "l", "ˈoʊ"]
    assert spoken[-7:] == ["f", "ɹ", "ˈɛ", "n", "d", "z", "."]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.text(alphabet="0123456789.,:/-eE$%th ’'\"_apm\ud800", max_size=40))
def test_any_text_ends_with_a_stop(phonemizer: GruutPhonemizer, text: str) -> None:
    assert phonemizer.phonemes(text)[-1] in {".", "!", "?"}


def test_same_from_four_threads(phonemizer: GruutPhonemizer) -> None:
    expected = [phonemizer.phonemes(text) for text in SENTENCES]
    with ThreadPoolExecutor(max_workers=4) as pool:
        rounds = [pool.map(phonemizer.phonemes, SENTENCES) for _ in range(4)]
        assert [list(results) for results in rounds] == [expected] * 4


def test_user_text_is_not_logged(
    phonemizer: GruutPhonemizer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        phonemizer.phonemes("secret $1e300 1e99 31/02/2020 zxqvor")
    assert not [message for message in caplog.messages if "secret" in message or "1e" in message]


def test_unknown_front_end() -> None:
    with pytest.raises(ValueError, match=r"'espeak/en'; allowed: gruut/en-us"):
        build_phonemizer("espeak/en")


def test_import_loads_no_gruut() -> None:
    code = "import sys, orpheus_server.phonemes; sys.exit('gruut' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
