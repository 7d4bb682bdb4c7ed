"""WordNet's examples as sentences: whole, clean, with a capital and a stop, sorted by kind."""

import re
from collections.abc import Iterable, Iterator

from training.texts.decency import is_decent
from training.texts.grammar import capitalise
from training.texts.kinds import Kind
from training.texts.normalising import normalise
from training.texts.wordnet import Example

MIN_WORDS, MAX_WORDS = 3, 24

CLEAN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9,;:'%-]| (?! )|[.$](?=[A-Za-z0-9]))*")
END = re.compile(r"([.!?]*)[\s,;:.-]*$")
TITLES = re.compile(r"\b(?:Mr|Mrs|Ms|Dr)\. ")
# Words that a listener would hear as letters or not at all.
ODD = re.compile(
    r"(?<!')\b(?:[b-hj-nq-z]|[A-Za-z]*[a-z][A-Z]\w*|\w*\d[a-z]\w*)\b(?!')|'\s|\s'|--|\b(?:BC|AD|AIDS)\b"
)

SUBJECTS = {
    *("i", "you", "he", "she", "it", "we", "they", "this", "that", "these", "those", "there"),
    *("please", "let's", "don't", "he's", "she's", "it's", "i'm", "you're", "we're", "they're"),
    *("everyone", "everybody", "nobody", "someone", "somebody", "everything", "nothing"),
}
# Forms that make a group of words a sentence, wherever they stand.
FINITE = {
    *("is", "are", "was", "were", "am", "has", "had", "have", "does", "do", "did"),
    *("can", "could", "will", "would", "shall", "should", "may", "might", "must", "let"),
    *("don't", "doesn't", "didn't", "isn't", "aren't", "wasn't", "weren't", "won't", "can't"),
    *("couldn't", "wouldn't", "shouldn't", "hasn't", "haven't", "hadn't", "cannot"),
}
CONTRACTIONS = ("'s", "'re", "'m", "'ll", "'ve", "'d")
# After one of these a finite verb belongs to a clause, not to the sentence.
CLAUSES = {
    *("who", "which", "that", "when", "where", "if", "because", "as", "whose", "than", "what"),
    *("while", "after", "before", "until", "whom", "how", "why", "whether", "since", "though"),
}
PREPOSITIONS = {
    *("of", "in", "on", "at", "to", "for", "with", "without", "by", "from", "into", "under"),
    *("beyond", "against", "between", "not", "and", "or", "but", "than", "as"),
}
WH_WORDS = {"what", "where", "when", "why", "how", "who", "which", "whose"}
AUXILIARIES = {
    *("is", "are", "was", "were", "am", "does", "do", "did", "can", "could", "will", "would"),
    *("shall", "should", "may", "might", "must", "has", "had", "have", "isn't", "aren't"),
    *("don't", "doesn't", "didn't", "won't", "can't", "couldn't", "wouldn't"),
}
PRONOUNS = {"i", "you", "he", "she", "we", "they", "there", "these", "those", "your"}
DETERMINERS = PRONOUNS | {"it", "the", "this", "that", "my", "his", "her", "their", "our"}


def sentences(examples: Iterable[Example]) -> Iterator[tuple[Kind, str]]:
    """Yields the examples that are sentences, in a fixed order, each once."""
    seen = set()
    for example in sorted(examples, key=lambda example: (example.text, example.part)):
        sentence = as_sentence(example)
        if sentence is None or (plain := normalise(sentence)) in seen:
            continue
        seen.add(plain)
        yield kind_of(sentence), sentence


def as_sentence(example: Example) -> str | None:
    """Returns the example with a capital and a stop; None if it is not a clean sentence."""
    text = re.sub(r"\s+", " ", example.text).strip(" ;,:.-")
    end = END.search(text)
    assert end is not None, "it matches the empty string"
    body = text[: end.start()].strip(" ,;:-")
    words = body.split()
    if (
        not MIN_WORDS <= len(words) <= MAX_WORDS
        or not CLEAN.fullmatch(TITLES.sub("", body))
        or ODD.search(body)
    ):
        return None
    if not is_decent(body) or body.isupper():
        return None
    words = [word.strip(",;:").lower() for word in words]
    if end[1].endswith("?") or is_question(words):
        return f"{capitalise(body)}?"
    if not is_whole(words, example):
        return None
    if words[0] == "what" and words[1] in ("a", "an"):
        return f"{capitalise(body)}!"
    return capitalise(body) + (end[1][-1:] or ".")


def is_question(words: list[str]) -> bool:
    """Whether the words are in a question's order: "what did he", "do you", "are the"."""
    first, second = words[0], words[1]
    if first in WH_WORDS:
        return second in AUXILIARIES and words[2] in DETERMINERS
    return first in AUXILIARIES and second in PRONOUNS


def is_whole(words: list[str], example: Example) -> bool:
    """Whether the words make a sentence, by signs: a subject, a finite verb, an imperative."""
    first = words[0]
    if "one's" in words or (first.endswith("ed") and len(first) > 4 and "," not in example.text):
        return False
    if first in PREPOSITIONS and not any(word in SUBJECTS for word in words[1:]):
        return False
    if first in CLAUSES or first in ("had", "has", "was", "were", "is", "are", "did", "does"):
        # What a dictionary cut off: "was closely involved", "when he was young".
        return "," in example.text and first in CLAUSES
    if first in SUBJECTS:
        return first not in ("this", "that", "these", "those") or is_finite(words[1:])
    if is_finite(words[1:]):
        return True
    # Examples of a verb are sentences, unless they begin with another form of it.
    if example.part != "verb":
        return False
    return first in example.words or not first.endswith(("ed", "ing")) and len(words) > 3


def is_finite(words: list[str]) -> bool:
    """Whether a finite verb comes before any clause."""
    for word in words:
        if word in CLAUSES:
            return False
        if word in FINITE or word.endswith(CONTRACTIONS[1:]):
            return True
    return False


def kind_of(sentence: str) -> Kind:
    if sentence.endswith("?"):
        return Kind.QUESTION
    return Kind.EXCLAMATION if sentence.endswith("!") else Kind.STATEMENT
