"""The interface of text front ends, for checkpoints that read phonemes."""

from typing import Protocol

SEC_PER_PHONEME = 0.08
"""English at an even pace, word marks and stops counted as phonemes (bundled voice, measured)."""


class Phonemized(Protocol):
    """A text as phonemes, word marks and stops; none of them if nothing in it can be said."""

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def num_lost_words(self) -> int: ...


class Phonemizer(Protocol):
    """Text front end of checkpoints that read phonemes."""

    def phonemize(self, text: str) -> Phonemized:
        """The phonemes of a text."""
