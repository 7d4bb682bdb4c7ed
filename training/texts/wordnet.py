"""Reads WordNet 3: its example sentences, and its common words.

The files are those of Debian's package wordnet-base: data.* and cntlist.rev.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
FILE_NAMES = ("cntlist.rev", *(f"data.{part}" for part in PARTS_OF_SPEECH))
# Synset types in the keys of cntlist.rev; 5 is an adjective near another one.
PART_OF_KEY = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}

# Adjectives carry their syntactic position, as in "chief(a)".
MARKER = re.compile(r"\(\w+\)$")
WORD = re.compile(r"[a-z]{3,12}")
# A quotation with an author after it is literature, often of another century.
EXAMPLE = re.compile(r'"([^"]+)"(?!\s*-+\s*[A-Z])')

# A word is common if annotators found it this often in WordNet's own corpus.
MIN_COUNT = 3


@dataclass(frozen=True, slots=True)
class Synset:
    """Words of one meaning and its gloss, a definition with examples."""

    words: tuple[str, ...]
    gloss: str


@dataclass(frozen=True, slots=True)
class Example:
    """An example as WordNet has it, with the part of speech and the words that it shows."""

    part: str
    words: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class WordNet:
    """Examples in the files' order; common words by part of speech, sorted."""

    examples: tuple[Example, ...]
    words: Mapping[str, tuple[str, ...]]


def wordnet_files(folder: Path) -> list[Path]:
    """Returns the files that are read. Raises TrainingError if one is missing."""
    files = [folder / name for name in FILE_NAMES]
    for file in files:
        if not file.is_file():
            raise TrainingError(
                f"WordNet is missing ({file}): `apt-get install wordnet-base` brings it, "
                "or TRAINING_WORDNET_DIR names a folder that has it"
            )
    return files


def read_wordnet(folder: Path) -> WordNet:
    """Reads examples and common words; takes about a second."""
    wordnet_files(folder)
    counts = _read_counts(folder / "cntlist.rev")
    examples: list[Example] = []
    words: dict[str, tuple[str, ...]] = {}
    for part in PARTS_OF_SPEECH:
        synsets = list(read_synsets(folder / f"data.{part}"))
        examples += (
            Example(part, synset.words, text)
            for synset in synsets
            for text in EXAMPLE.findall(synset.gloss)
        )
        # Proper names have a capital, and do not match.
        all_words = {word for synset in synsets for word in synset.words if WORD.fullmatch(word)}
        words[part] = tuple(sorted(w for w in all_words if counts[part, w] >= MIN_COUNT))
    return WordNet(tuple(examples), words)


def read_synsets(file: Path) -> Iterator[Synset]:
    """Yields the synsets of data.<part of speech>."""
    for line in _lines(file):
        head, _, gloss = line.partition("|")
        fields = head.split()
        num_words = int(fields[3], 16)
        words = fields[4 : 4 + 2 * num_words : 2]
        yield Synset(tuple(MARKER.sub("", word) for word in words), gloss)


def _read_counts(file: Path) -> Counter[tuple[str, str]]:
    """Returns how often each (part of speech, lemma) occurs."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in _lines(file):
        key, _, count = line.split()
        lemma, _, sense = key.rpartition("%")
        counts[PART_OF_KEY[sense[0]], lemma] += int(count)
    return counts


def _lines(file: Path) -> Iterator[str]:
    """Yields the lines of a file without its licence, whose lines are indented."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line and not line.startswith("  "):
            yield line
