"""Emphasis: words in capitals, which gruut spells, and drawn-out letters."""

import re
from collections.abc import Callable, Iterator
from itertools import groupby, product

CAPITALS = re.compile(r"[A-Z]{2}")
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
# gruut reads these as numbers, and "I" as "i".
ROMAN = frozenset(("I", "II", "III", "IV", "VI", "VII", "VIII"))
# Initials that are also words.
INITIALS = frozenset(
    ("US", "IT", "WHO", "UN", "AM", "PM", "ID", "AI", "PR", "HR", "ER")
    + ("ET", "EST", "PST", "EDT", "CET", "CST", "MST")
)
# Shorter words in capitals are usually initials (IT, US, WHO), not emphasis.
MIN_LONE_CAPITALS = 4
# Words without a vowel that are sounds, and what gruut reads as a word.
VOWELLESS = re.compile(r"(?<![\w'’.])[b-df-hj-np-tv-xz]{2,5}(?![\w'’])")
SOUNDS = frozenset(
    ("hm", "hmm", "mm", "shh", "psst", "pst", "brr", "grr", "tsk", "pfft", "zzz")
    + ("js", "st", "nd", "rd", "th", "mr", "mrs", "dr", "vs", "ll")
)

ROMAN_NUMERAL = re.compile(r"[IVXLCM]+")
DRAWN_OUT = re.compile(r"(?<![^\W_])[^\W\d_]*?([^\W\d_])\1\1[^\W\d_]*(?![^\W_])", re.IGNORECASE)
LETTERS = re.compile(r"([^\W\d_])\1*", re.IGNORECASE)
# A drawn-out end is written double in these: "alllll", "offff", "passsss".
DOUBLE_ENDS = frozenset("lfszem")
SHORT_WORDS_WITH_E = frozenset(("me", "he", "we", "be", "she", "the"))
MAX_DRAWN_OUT_LETTERS = 4
MAX_WORD_CHARS = 20


def shorten_drawn_out_words(text: str, is_word: Callable[[str], bool]) -> str:
    """Turns "sooooo" into "so" and "HEYYYY" into "hey"."""

    def shorten(match: re.Match[str]) -> str:
        word = match[0]
        runs = [run[0] for run in LETTERS.finditer(word.lower())]
        longest = max(map(len, runs))
        if len(runs) == 1:
            # "www", "AAA"; more letters are a scream.
            return word if longest == 3 else word[:3]
        if is_word(word.lower()) or ROMAN_NUMERAL.fullmatch(word):
            return word
        known = next(filter(is_word, _spellings(runs)), None)
        if known is not None:
            return known
        # Without an entry, three capitals are rather initials: IEEE.
        if longest == 3 and word.isupper():
            return word
        return next(_spellings(runs), "".join(run[0] if len(run) > 2 else run for run in runs))

    return DRAWN_OUT.sub(shorten, text)


def _spellings(runs: list[str]) -> Iterator[str]:
    """Yields the spellings with one or two of each drawn-out letter, the likeliest first."""
    if sum(len(run) > 2 for run in runs) > MAX_DRAWN_OUT_LETTERS or len(runs) > MAX_WORD_CHARS:
        return
    options = []
    for index, run in enumerate(runs):
        letter = run[0]
        if len(run) < 3:
            options.append([run])
            continue
        is_last = index == len(runs) - 1
        # "cool" and "sweet", but "long".
        is_double = letter in DOUBLE_ENDS if is_last else letter in "oe" and runs[index + 1] != "n"
        if is_last and letter == "e":
            short = "".join(each[0] for each in runs)
            is_double = short not in SHORT_WORDS_WITH_E and len(short) < 5
        options.append([letter * 2, letter] if is_double else [letter, letter * 2])
    yield from map("".join, product(*options))


def spell_initials(text: str, is_word: Callable[[str], bool]) -> str:
    """Turns initials in small letters into capitals, which gruut spells: "pdf" and "gpt"."""

    def spell(match: re.Match[str]) -> str:
        word = match[0]
        return word if word in SOUNDS or is_word(word) else word.upper()

    return VOWELLESS.sub(spell, text)


def lower_emphasis(text: str, is_word: Callable[[str], bool]) -> str:
    """Lower-cases known words in capitals, if two in a row or long, since gruut spells them."""
    if not CAPITALS.search(text):
        return text

    def is_raised(match: re.Match[str]) -> bool:
        word = match[0].replace("’", "'")
        return word.isupper() and (word in ROMAN or is_word(word.lower()))

    pieces, end = [], 0
    for raised, group in groupby(WORD.finditer(text), key=is_raised):
        run = list(group)
        words = [match[0] for match in run if len(match[0]) > 1 and match[0] not in ROMAN]
        lengths = [*map(len, words)]
        are_initials = INITIALS.issuperset(words)
        if (
            raised
            and not are_initials
            and (len(lengths) > 1 or max(lengths, default=0) >= MIN_LONE_CAPITALS)
        ):
            for match in run:
                is_name = (
                    match[0] in INITIALS
                    and f" {text[max(0, match.start() - 4) : match.start()]}".lower().endswith(
                        " the "
                    )
                )
                word = match[0] if match[0] in ROMAN or is_name else match[0].lower()
                pieces += [text[end : match.start()], word]
                end = match.end()
    return "".join((*pieces, text[end:]))
