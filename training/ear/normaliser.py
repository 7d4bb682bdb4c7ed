"""Words of a text for the word error rate: both what was spoken and what was heard pass here."""

import re
import unicodedata

from training.ear.number_words import NUMBER_WORDS
from training.ear.numerals import MONTHS, spell_numerals
from training.ear.spelling import to_american

_WHOLE_CONTRACTIONS = {
    **{"won't": "will not", "can't": "can not", "cannot": "can not", "shan't": "shall not"},
    **{"ain't": "is not", "let's": "let us", "y'all": "you all", "ma'am": "madam"},
    **{"gonna": "going to", "wanna": "want to", "gotta": "got to", "'em": "them"},
    **{"'cause": "because", "o'clock": "oclock", "alright": "all right", "ok": "okay"},
}
_ENDINGS = {
    "n't": " not",
    "'re": " are",
    "'ve": " have",
    "'ll": " will",
    "'m": " am",
    "'d": " would",
}
# After other words "'s" is usually a possessive.
_BEFORE_IS = frozenset(
    (
        "he",
        "she",
        "it",
        "that",
        "this",
        "there",
        "here",
        "what",
        "where",
        "who",
        "how",
        "when",
        "why",
    )
)
_ABBREVIATIONS = {
    **{"mr": "mister", "mrs": "missus", "dr": "doctor", "vs": "versus", "etc": "et cetera"},
}
_SIGNS = {"&": " and ", "+": " plus ", "=": " equals ", "@": " at ", "_": " ", "/": " "}

_DOTTED = re.compile(r"\b(?:[a-z]\.\s?){2,}")
_HALF_DAY = re.compile(r"\b([ap])\.?\s?m\b\.?")
_JOINED = re.compile(r"[-–—/]")
_WORD = re.compile(r"[a-z']+")


def words_of(text: str) -> list[str]:
    """Returns lower-case American words without punctuation, digits, contractions or accents."""
    text = text.replace("’", "'").replace("‘", "'").lower()
    # Fractions would decompose too: they are read before.
    text = spell_numerals(_HALF_DAY.sub(r" \1m ", text))
    text = "".join(
        char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char)
    )
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = _DOTTED.sub(lambda match: re.sub(r"[^a-z]", "", match[0]) + " ", text)
    words = [part for word in _WORD.findall(_JOINED.sub(" ", text)) for part in _expand(word)]
    return _join_numbers([to_american(word) for word in words])


def _expand(word: str) -> list[str]:
    """Returns a word without its contraction or its quotation marks."""
    if word in _WHOLE_CONTRACTIONS:
        return _WHOLE_CONTRACTIONS[word].split()
    word = word.strip("'")
    if word in _WHOLE_CONTRACTIONS:
        return _WHOLE_CONTRACTIONS[word].split()
    for ending, words in _ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return (word.removesuffix(ending) + words).split()
    if word.endswith("'s") and word[:-2] in _BEFORE_IS:
        return [word[:-2], "is"]
    word = word.replace("'", "")
    return _ABBREVIATIONS.get(word, word).split()


def _join_numbers(words: list[str]) -> list[str]:
    """Makes number words equal whether they were written as digits or as words.

    Drops "and" inside a number and between its dollars and cents, reads "a hundred" as "one
    hundred", "o" as "oh" and "per cent" as one word, and drops "the" of "may the third".
    """
    out: list[str] = []
    for at, word in enumerate(words):
        before = words[at - 1] if at else ""
        after = words[at + 1] if at + 1 < len(words) else ""
        is_number_next = after in NUMBER_WORDS
        is_dropped = (
            word == "and"
            and is_number_next
            and before in ("hundred", "thousand", "million", "dollars", "dollar", "pounds", "euros")
        ) or (word == "the" and before in MONTHS and _is_ordinal(after))
        if is_dropped:
            continue
        if word == "a" and after in ("hundred", "thousand", "million", "billion"):
            word = "one"
        elif word == "o" and (is_number_next or before in NUMBER_WORDS):
            word = "oh"
        elif word == "cent" and out and out[-1] == "per":
            out[-1] = "percent"
            continue
        out.append(word)
    return out


def _is_ordinal(word: str) -> bool:
    return word.endswith(("first", "second", "third", "th"))
