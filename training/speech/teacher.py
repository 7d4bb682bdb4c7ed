"""The teacher's interface: characters to samples and the time of each character."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 24_000
MAX_CHARACTERS = 510
"""The teacher's position table, and the rows of a style."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the teacher said.

    `character_ends` [characters + 2] in samples: of a padding character at the beginning, of each
    character, and of a padding character at the end, which is the number of samples.
    """

    samples: Samples
    character_ends: npt.NDArray[np.int64]


class Teacher(Protocol):
    @property
    def alphabet(self) -> Collection[str]:
        """The characters that it can speak."""
        ...

    def speak(self, text: str, style: npt.NDArray[np.float32], *, pace: float) -> Spoken:
        """Speaks up to `MAX_CHARACTERS` in a style (row [256]); the same samples each time."""
        ...
