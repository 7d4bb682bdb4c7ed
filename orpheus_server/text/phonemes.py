"""Converts text to phonemes with gruut, for voices that read phonemes instead of letters.

The rules are those of the voice's training: gruut's phonemes with their stress, `_` between two
words, one of `. , ! ?` for a stop, and always a final stop. Text that gruut would lose or mangle is
rewritten before (`english/`) or read in pieces afterwards. The voice's vocabulary is not used.
"""

import logging
import re
import sqlite3
import threading
import unicodedata
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orpheus_server.text.english.normalising import normalise

if TYPE_CHECKING:
    from gruut import TextProcessor
    from gruut.const import Word

logger = logging.getLogger(__name__)

FRONT_ENDS = {"gruut/en-us": "en-us"}

WORD_MARK = "_"
STOPS = {".": ".", "!": "!", "?": "?", ",": ",", ";": ",", ":": ","}
FINAL_STOPS = {".", "!", "?"}

# A number of 16 digits or more (separators allowed) is read digit by digit: listeners cannot follow
# quadrillions, and gruut raises at 29. A lower limit would change how ordinary numbers are read.
LONG_NUMBER = re.compile(r"\d(?:[,_]?\d){15,}")

# The longest date without spaces, ISO 8601 with microseconds and offset, has 32 characters.
# Without a limit, dateparser takes a second for the 4,000 characters of "1/1/1/1…".
MAX_DATE_CHARS = 40

# Mathematical signs and currencies; letters of Latin script are all ASCII by then.
SIGN_CATEGORIES = ("Sm", "Sc")

NON_WORD = re.compile(r"\W")
LETTERS_OR_DIGITS = re.compile(r"\d+|[^\W\d_]+")

# Uses all that gruut loads lazily: tagger, guesser of unknown words, dates, times and numbers.
WARM_UP = "Dr. Zxqvor paid $5.50 for 12 on 1/2/2020 at 4:30 pm, the 3rd."


@dataclass(frozen=True, slots=True)
class Phonemes:
    """Phonemes, word marks and stops of a text; empty if nothing in it can be spoken.

    `num_lost_words` counts the words that cannot be read as English in full, also those of which
    only a letter or a sign has no sound.
    """

    symbols: tuple[str, ...]
    num_lost_words: int


class Lexicon:
    """gruut's pronunciations in memory, looked up by gruut's rules.

    gruut's own table has no index on the word, so every new word costs a scan of 7 ms. Its cache
    also lets the words of one text change how the next text is split; this class keeps no history.
    """

    def __init__(self, database: Path) -> None:
        # Immutable: SQLite takes no lock and writes no journal next to the database.
        uri = f"{database.resolve().as_uri()}?immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            # By word, then by role (part of speech). The first pronunciation of a role is used.
            self._pronunciations: dict[str, dict[str, str]] = {}
            for word, role, phonemes in connection.execute(
                "SELECT word, role, phonemes FROM word_phonemes ORDER BY pron_order, id"
            ):
                self._pronunciations.setdefault(word, {}).setdefault(role, phonemes)

    def __contains__(self, word: str) -> bool:
        return word in self._pronunciations

    def __call__(
        self, word: str, role: str | None = None, do_transforms: bool = True
    ) -> list[str] | None:
        """Phonemes of the word; with `do_transforms` also tries lower case and bare letters."""
        spellings = [word]
        if do_transforms:
            lowered = word.lower()
            spellings += [lowered, NON_WORD.sub("", word), NON_WORD.sub("", lowered)]
        for spelling in spellings:
            by_role = self._pronunciations.get(spelling)
            if by_role is not None:
                # This role, otherwise the default, otherwise the first.
                first = next(iter(by_role.values()))
                return by_role.get(role or "", by_role.get("", first)).split()
        return None


class GruutPhonemizer:
    """Converts text to phonemes with gruut. Callable from any thread.

    A lock guards the one processor, because its two taggers keep the sentence that they are tagging
    between calls. Nearly all of the work is Python code that holds the GIL, so one processor per
    thread would cost memory and save no time.
    """

    def __init__(self, processor: "TextProcessor", lexicon: Lexicon) -> None:
        self._processor = processor
        self._lexicon = lexicon
        self._lock = threading.Lock()

    def is_word(self, word: str) -> bool:
        """Returns whether the lexicon has the word, which is in lower case."""
        return word in self._lexicon

    def phonemize(self, text: str) -> Phonemes:
        """Returns the phonemes of a text, and how many of its words were lost."""
        # gruut encodes words as UTF-8, which has no lone surrogates.
        text = text.encode("utf-8", "ignore").decode("utf-8")
        text = LONG_NUMBER.sub(lambda number: " ".join(filter(str.isdigit, number[0])), text)
        text = normalise(text, is_word=self.is_word)
        words: list[Word] = []
        num_lost_words = sum(map(has_silent_character, text.split()))
        with self._lock:
            for word in self._read(text):
                if not is_misread(word):
                    words.append(word)
                    continue
                pieces, is_whole = self._read_in_pieces(word.text)
                words += pieces
                num_lost_words += not is_whole and not has_silent_character(word.text)
        if not any(is_spoken(word) for word in words):
            return Phonemes((), num_lost_words)
        return Phonemes(tuple(join_words(words)), num_lost_words)

    def _read_in_pieces(self, text: str) -> tuple[list["Word"], bool]:
        """Reads digits and letters separately; if that fails, reads each character.

        Returns the words that can be spoken, and whether every piece could be read.
        """
        words = self._read(" ".join(LETTERS_OR_DIGITS.findall(text)))
        if not words or any(map(is_misread, words)):
            words = self._read(" ".join(filter(str.isalnum, text)))
        return [word for word in words if is_spoken(word)], not any(map(is_misread, words))

    def _read(self, text: str) -> list["Word"]:
        """Returns gruut's words. If gruut raises, reads word by word, or letter by letter.

        Numbers like 1e99 that no rule splits raise in arithmetic. The rest of the text must still
        be spoken, and a list of gruut's exceptions would never be complete.
        """
        try:
            graph, root = self._processor(text)
            return [word for sent in self._processor.sentences(graph, root) for word in sent]
        except Exception as error:
            logger.debug("gruut raised %s on %d characters", type(error).__name__, len(text))
        pieces = text.split()
        if len(pieces) == 1:
            pieces = list(filter(str.isalnum, text))
        return [word for piece in pieces if piece != text for word in self._read(piece)]


def is_spoken(word: "Word") -> bool:
    return bool(word.phonemes) and not word.is_break


def is_misread(word: "Word") -> bool:
    """Whether gruut lost the word, or guessed: digits that it can read have become words."""
    lacks_sound = not is_spoken(word) or any(map(str.isdigit, word.text))
    return lacks_sound and any(map(str.isalnum, word.text))


def has_silent_character(text: str) -> bool:
    """Whether the text has a letter, digit or sign that gruut leaves out without a trace."""
    return any(
        not char.isascii() and (char.isalnum() or unicodedata.category(char) in SIGN_CATEGORIES)
        for char in text
    )


def join_words(words: Iterable["Word"]) -> list[str]:
    """Joins words by the voice's rules: marks between words but not at stops, a final stop."""
    out: list[str] = []
    for word in words:
        if not is_spoken(word):
            if stop := STOPS.get(word.text.strip()):
                out.append(stop)
            continue
        if out and out[-1] not in STOPS:
            out.append(WORD_MARK)
        out += word.phonemes
    if not out or out[-1] not in FINAL_STOPS:
        out.append(".")
    return out


def build_phonemizer(name: str) -> GruutPhonemizer:
    """Builds the phonemizer that a checkpoint names. It takes a second, so do it once."""
    if name not in FRONT_ENDS:
        raise ValueError(f"unknown text front end {name!r}; allowed: {', '.join(FRONT_ENDS)}")
    # Imported here: gruut costs 0.4 s and 50 MB, and voices that read letters do not need it.
    from gruut import TextProcessor
    from gruut.lang import en_is_maybe_date
    from gruut.utils import find_lang_dir

    # gruut logs the user's words at ERROR when it cannot read a number or a date.
    logging.getLogger("gruut").setLevel(logging.CRITICAL)
    lang_dir = find_lang_dir(FRONT_ENDS[name])
    assert lang_dir is not None, "gruut comes with its English data"
    lexicon = Lexicon(lang_dir / "lexicon.db")
    processor = TextProcessor(
        default_lang=FRONT_ENDS[name],
        lookup_phonemes=lexicon,
        is_maybe_date=lambda word: len(word) <= MAX_DATE_CHARS and en_is_maybe_date(word),
    )
    phonemizer = GruutPhonemizer(processor, lexicon)
    phonemizer.phonemize(WARM_UP)
    return phonemizer
