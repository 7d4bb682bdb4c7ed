"""Word error rate: substitutions, insertions and deletions of the words that were heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts over one or more recordings."""

    num_words: int = 0
    num_substitutions: int = 0
    num_insertions: int = 0
    num_deletions: int = 0

    @property
    def num_errors(self) -> int:
        """All errors."""
        return self.num_substitutions + self.num_insertions + self.num_deletions

    @property
    def rate(self) -> float:
        """Errors per spoken word; above 1 if more words were inserted than spoken."""
        return self.num_errors / max(1, self.num_words)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.num_words + other.num_words,
            self.num_substitutions + other.num_substitutions,
            self.num_insertions + other.num_insertions,
            self.num_deletions + other.num_deletions,
        )


def count_errors(spoken: Sequence[str], heard: Sequence[str]) -> WordErrors:
    """Returns the fewest errors that turn the spoken words into those that were heard.

    Of alignments with equally many errors, the one with the fewest substitutions counts.
    """
    # A cell: number of errors, substitutions, insertions, deletions.
    row = [(j, 0, j, 0) for j in range(len(heard) + 1)]
    for i, word in enumerate(spoken, 1):
        above, row = row, [(i, 0, 0, i)]
        for j, other in enumerate(heard, 1):
            errors, subs, ins, dels = above[j - 1]
            wrong = int(word != other)
            diagonal = (errors + wrong, subs + wrong, ins, dels)
            errors, subs, ins, dels = above[j]
            deleted = (errors + 1, subs, ins, dels + 1)
            errors, subs, ins, dels = row[j - 1]
            inserted = (errors + 1, subs, ins + 1, dels)
            row.append(min(diagonal, deleted, inserted))
    _, substitutions, insertions, deletions = row[-1]
    return WordErrors(len(spoken), substitutions, insertions, deletions)
