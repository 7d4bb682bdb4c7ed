"""`phonemes.py` against unmodified gruut and a second implementation of the voice's rules."""

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

from orpheus_server.text.english.normalising import normalise
from orpheus_server.text.phonemes import GruutPhonemizer, Lexicon, Phonemes, build_phonemizer

# None only if the English data is not installed, but gruut requires it.
LANG_DIR = cast(Path, find_lang_dir("en-us"))
LEXICON = LANG_DIR / "lexicon.db"


def lexicon_words() -> list[str]:
    """Returns every 97th word of gruut's lexicon, and all whose phonemes depend on their role."""
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
    "He paid $3.50 for bread, $20 for wine and $1,000 for the painting.",
    "It costs $5.",
    "They met on 11/12/2020 and again on 2021-03-05.",
    "She was born on May 4, 1987.",
    "On March 3rd, 1999, it snowed.",
    "In 1066, 1900, 2000 and 2024 there were comets.",
    "Call me at 4:30 pm or 7:05 a.m., not at 12:00.",
    "Dr. Brown and Mr. Green met Mrs. White on Main St. today.",
    "Jones Co. vs. Smith Ltd. is a famous case.",
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
    "Colon : semicolon ; comma , stop .",
    "The frobnicated zxqvor glimmerwumps blorptastically.",
    "Kubernetes, ChatGPT and PyTorch are tools.",
    "The 1st, 2nd, 3rd, 4th, 21st and 100th.",
    "About 50% of 99.9% agree.",
    "Numbers: 123456789012345.",
    "   leading and   double   spaces\nand\tlines   ",
    "No final stop",
    ", a comma first",
    "The apple, the end: the A and a B.",
    "I",
]

# Sentences that `english/` rewrites, or in which a word is read in pieces.
REWRITTEN = [
    "He paid $3.50 for bread, £20 for wine and €1,000 for the painting.",
    "The train leaves at 16:45.",
    "The lease ends 31/02/2020.",
    "The U.S. office of NASA sent a TTS report to the F.B.I.",
    "Wait... what? No! Yes; maybe: perhaps, then.",
    "A pause — and another – then… the end.",
    "Really?! Never!! Who??",
    "HELLO WORLD, THIS IS LOUD.",
    "Write to jane.doe@example.com today.",
    "See https://example.com/a/b?c=1&d=2 or www.example.org.",
    "AT&T & friends use C++ and #hashtags.",
    "A naïve café in Zürich serves crème brûlée.",
    "Version 2.4.0 of 10.0.0.1.",
    "1/2 cup, 3/4 spoon.",
    "Phone 555-1234 or +1 800 555 0199.",
    "It is -5°C outside.",
]

SNIPPETS = [
    *REWRITTEN,
    "Open 24/7, call 9/11.",
    "It's a 50/50 chance.",
    "Add ¾ cup and 2½ spoons.",
    "The deal is worth $3M, not £2.5bn.",
    "Save ¥100, 20€ or 50¢.",
    "Between 1939–1945 and the '80s.",
    "The 1990s and the 20th-century novel.",
    "Run 10k or 5km at 12km/h.",
    "221B Baker Street, room A4.",
    "MP3, H2O, 3D, B2B and x86.",
    "A 16:9 screen of 1920x1080 pixels.",
    "Solve 1+1=2 and 3 × 4 = 12.",
    "Pi is 3.14, the version 3.14.15.",
    "Due on 15.01.2024 at 4:30pm.",
    "Total: 1.000.000 of 1,000,000.",
    "Item #5 costs US$100 (or 80%).",
    "He is 5'10\" and weighs 70kg.",
    "Ask user@mail.example.co.uk, or @jane.",
    "Read README.md at www.example.org/docs!",
    "“Stop—” she said—“no!”",
    "Q&A with R&D and the TCP/IP team",
    "He and/or she, I/O, n/a.",
    "WHAT IS GOING ON? WE HAVE 50 DOGS!",
    "She has a Ph.D. from the U.S.?",
    "first,second;third:fourth.Fifth",
    "Ångström, Łódź, Øresund and Þór.",
]

# Hostile texts that break, or may break, gruut or the libraries that it uses.
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
def is_word() -> Callable[[str], bool]:
    return Lexicon(LEXICON).__contains__


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Applies the voice's rules to the result of gruut's own code and models.

    Only its lexicon gets an index, which changes no result and saves 0.1 s per sentence. Its cache
    is cleared before each text, because earlier texts change how gruut splits some words.
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
    """Joins the words of each run with separators, keeps stops, and ends with a stop."""
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
    phonemizer: GruutPhonemizer,
    reference: Callable[[str], list[str]],
    is_word: Callable[[str], bool],
    text: str,
) -> None:
    assert normalise(text, is_word=is_word) == text
    assert phonemizer.phonemize(text) == Phonemes(tuple(reference(text)), 0)


def test_the_reference_equals_gruut(reference: Callable[[str], list[str]]) -> None:
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
    phonemizer: GruutPhonemizer,
    reference: Callable[[str], list[str]],
    is_word: Callable[[str], bool],
    text: str,
) -> None:
    """Compares after the rules of `english/`, which rewrite glued parts, capitals and stops."""
    plain = normalise(text, is_word=is_word)
    assert phonemizer.phonemize(text) == Phonemes(tuple(reference(plain)), 0)


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
        ("Really!?", "ɹ ˈɪ l i ?"),
        ("Wait... what?", "w ˈeɪ t , w ˈʌ t ?"),
    ],
)
def test_exact_phonemes(phonemizer: GruutPhonemizer, text: str, expected: str) -> None:
    assert phonemizer.phonemize(text) == Phonemes(tuple(expected.split()), 0)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("café", "cafe"),
        ("naïve", "naive"),
        ("24/7", "24 7"),
        ("50/50", "50 50"),
        ("1/2", "one half"),
        ("¾ cup", "three quarters cup"),
        ("¥100", "100 yen"),
        ("$3M", "3 million dollars"),
        ("10k", "10 thousand"),
        ("1.5k", "1.5 thousand"),
        ("221B", "221 B"),
        ("5km", "5 kilometers"),
        ("3D", "3 D"),
        ("Q&A", "Q and A."),
        ("1+1=2", "1 plus 1 equals 2"),
        ("1990s", "nineteen nineties"),
        ("15.01.2024", "January 15th, 2024"),
        ("1.000.000", "one million"),
        ("16:9", "16 9"),
        ("31/02/2020", "31 02 2020"),
        ("word—word", "word, word"),
        ("said—“no", "said, no"),
        ("yes–no", "yes, no"),
        ("one,two", "one, two"),
        ("end.Start", "end. Start"),
        ("STOP RIGHT THERE!", "stop right there!"),
        ("WHAT IS GOING ON", "what is going on"),
        ("IT IS", "it is"),
        ("Is it U.S.? Yes", "Is it U.S. ? Yes"),
    ],
)
def test_text_is_read_like_its_plain_spelling(
    phonemizer: GruutPhonemizer, text: str, plain: str
) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken == phonemizer.phonemize(plain)
    assert spoken.symbols
    assert spoken.num_lost_words == 0


@pytest.mark.parametrize("text", SNIPPETS)
def test_nothing_is_lost(phonemizer: GruutPhonemizer, text: str) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken.num_lost_words == 0
    assert len(spoken.symbols) >= len(text) // 3
    assert spoken.symbols[-1] in {".", "!", "?"}


@pytest.mark.parametrize(
    ("text", "plain", "num_lost_words"),
    [
        ("Say 你好 now.", "Say now.", 1),
        ("Say 你好 and привет now.", "Say and now.", 2),
        ("Say 😀 now.", "Say now.", 0),
    ],
)
def test_lost_words_are_counted(
    phonemizer: GruutPhonemizer, text: str, plain: str, num_lost_words: int
) -> None:
    symbols = phonemizer.phonemize(plain).symbols
    assert phonemizer.phonemize(text) == Phonemes(symbols, num_lost_words)


@pytest.mark.parametrize("text", ["Say wordж now.", "5♯", "x♯y", "kж 5", "12日"])
def test_a_part_of_a_word_without_sound_is_counted(phonemizer: GruutPhonemizer, text: str) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken.symbols
    assert spoken.num_lost_words == 1


@pytest.mark.parametrize(
    ("text", "num_lost_words"), [("", 0), ("?!", 0), ("😀", 0), ("你好", 1), ("你好 世界", 2)]
)
def test_nothing_speakable(phonemizer: GruutPhonemizer, text: str, num_lost_words: int) -> None:
    assert phonemizer.phonemize(text) == Phonemes((), num_lost_words)


def test_a_text_does_not_change_how_the_next_is_read(phonemizer: GruutPhonemizer) -> None:
    # gruut splits off five of six commas and finds "hello," under "hello"; from then on, its cache
    # has "hello," as a word, and the comma is lost.
    first = phonemizer.phonemize("hello, you")
    phonemizer.phonemize("hello,,,,,, you")
    assert phonemizer.phonemize("hello, you") == first
    assert "," in first.symbols


def test_long_numbers_are_read_digit_by_digit(phonemizer: GruutPhonemizer) -> None:
    digits = " ".join("1234567890123456")
    assert phonemizer.phonemize("1234567890123456") == phonemizer.phonemize(digits)
    assert phonemizer.phonemize("1,234,567,890,123,456") == phonemizer.phonemize(digits)


def test_text_around_an_unreadable_part_is_spoken(phonemizer: GruutPhonemizer) -> None:
    spoken = phonemizer.phonemize("Pay 1e99 now, please!")
    assert spoken == phonemizer.phonemize("Pay 1 e 99 now, please!")
    assert phonemizer.phonemize("caf\ud800e") == phonemizer.phonemize("cafe")


def test_text_on_which_gruut_raises_is_read_in_pieces() -> None:
    class Brittle(gruut.TextProcessor):
        """Raises like gruut for numbers that its arithmetic cannot represent."""

        def __call__(self, text: str, *args: Any, **kwargs: Any) -> Any:
            if "xy" in text:
                raise OverflowError
            return super().__call__(text, *args, **kwargs)

    brittle = GruutPhonemizer(Brittle(default_lang="en-us"), Lexicon(LEXICON))
    assert brittle.phonemize("Pay xy now!") == brittle.phonemize("Pay x y now!")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text(phonemizer: GruutPhonemizer, text: str) -> None:
    alone = phonemizer.phonemize(text).symbols
    assert alone[-1:] in {(), (".",), ("!",), ("?",)}
    spoken = phonemizer.phonemize(f"Hello {text} friends").symbols
    assert spoken[:4] == ("h", "ɛ", "l", "ˈoʊ")
    assert spoken[-7:] == ("f", "ɹ", "ˈɛ", "n", "d", "z", ".")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.text(alphabet="0123456789.,:/-eE$%th ’'\"_apm\ud800", max_size=40))
def test_any_text_ends_with_a_stop(phonemizer: GruutPhonemizer, text: str) -> None:
    assert phonemizer.phonemize(text).symbols[-1:] in {(), (".",), ("!",), ("?",)}


def test_four_threads_get_the_same_results(phonemizer: GruutPhonemizer) -> None:
    texts = SENTENCES + REWRITTEN
    expected = [phonemizer.phonemize(text) for text in texts]
    with ThreadPoolExecutor(max_workers=4) as pool:
        rounds = [pool.map(phonemizer.phonemize, texts) for _ in range(4)]
        assert [list(results) for results in rounds] == [expected] * 4


def test_user_text_is_not_logged(
    phonemizer: GruutPhonemizer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        phonemizer.phonemize("secret $1e300 1e99 31/02/2020 zxqvor")
    assert not [message for message in caplog.messages if "secret" in message or "1e" in message]


def test_unknown_front_end() -> None:
    with pytest.raises(ValueError, match=r"'espeak/en'; allowed: gruut/en-us"):
        build_phonemizer("espeak/en")


def test_importing_the_module_does_not_load_gruut() -> None:
    code = "import sys, orpheus_server.text.phonemes; sys.exit('gruut' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
