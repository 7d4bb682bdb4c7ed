"""The order of SNAC's codes in a frame: a, b0, c0, c1, b1, c2, c3."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FRAME_SLOTS = (0, 1, 2, 2, 1, 2, 2)
"""The book of each slot of a frame; within a book, slots are in the order of time."""

Codes = npt.NDArray[np.integer]


def to_frames(books: Sequence[Codes]) -> Codes:
    """Orders the codes of three books, [frames], [2 frames] and [4 frames], as [frames, 7]."""
    coarse = books[0]
    frames = np.empty((len(coarse), len(FRAME_SLOTS)), coarse.dtype)
    for book, codes in enumerate(books):
        slots = _slots(book)
        frames[:, slots] = codes.reshape(-1, len(slots))
    return frames


def to_books(frames: Codes) -> list[Codes]:
    """Splits frames [frames, 7] into the codes of three books, in the order of time."""
    return [frames[:, _slots(book)].reshape(-1) for book in range(max(FRAME_SLOTS) + 1)]


def _slots(book: int) -> list[int]:
    return [slot for slot, owner in enumerate(FRAME_SLOTS) if owner == book]
