"""Converts audio token ids to frames and back, with one code per slot and without losing any.

Frames are aligned by each token's own slot instead of a running count: a token that is missing,
surplus or of the wrong slot only affects its own frame, which at worst is heard twice. The
reference decoders count tokens and drop the legal code 0; one bad token costs them 85 to 427 ms
(orpheus-speech `decoder.py`).
"""

from collections.abc import Iterable, Sequence

from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.interfaces import Frame


class FrameAssembler:
    """Assembles token ids into complete frames; an incomplete last frame is dropped.

    `num_filled` counts slots without a token, which repeat the code of the frame before;
    `num_stray` counts audio tokens that fit nowhere; `num_other` counts ids that are neither audio
    nor stop tokens.
    """

    def __init__(self, layout: TokenLayout) -> None:
        self._layout = layout
        self._base, self._size = layout.audio_token_base, layout.codebook_size
        self._num_slots = layout.num_slots
        self._partial: list[int] = []
        self._previous: Frame = (0,) * layout.num_slots
        self.num_filled = 0
        self.num_stray = 0
        self.num_other = 0

    def feed(self, token_ids: Iterable[int]) -> list[Frame]:
        """Returns the frames that these ids complete, in order."""
        frames: list[Frame] = []
        base, size, num_slots = self._base, self._size, self._num_slots
        for token_id in token_ids:
            slot, code = divmod(token_id - base, size)
            if slot == len(self._partial) < num_slots - 1:
                # The path of nearly every token: it runs 82 times per second of each stream.
                self._partial.append(code)
            elif 0 <= slot < num_slots:
                self._place(slot, code, frames)
            elif token_id not in self._layout.stop_token_ids:
                self.num_other += 1
        return frames

    def drop_partial(self) -> None:
        """Drops the tokens of an incomplete frame: generation will resume before it."""
        self._partial = []

    def _place(self, slot: int, code: int, frames: list[Frame]) -> None:
        expected = len(self._partial)
        if slot == 0 and expected == 1:
            # Two first slots in a row: filling six slots would make a frame of a single token.
            self._partial.clear()
            self.num_stray += 1
        elif slot == 0 and expected > 0:
            self._fill_up_to(self._num_slots)
            self._complete(frames)
        elif slot < expected:
            self.num_stray += 1
            return
        elif slot > expected:
            self._fill_up_to(slot)
        self._partial.append(code)
        if slot == self._num_slots - 1:
            self._complete(frames)

    def _fill_up_to(self, slot: int) -> None:
        missing = self._previous[len(self._partial) : slot]
        self.num_filled += len(missing)
        self._partial.extend(missing)

    def _complete(self, frames: list[Frame]) -> None:
        self._previous = tuple(self._partial)
        self._partial = []
        frames.append(self._previous)


def to_token_ids(frames: Iterable[Frame], layout: TokenLayout) -> list[int]:
    """Returns the token ids of these frames."""
    base, size = layout.audio_token_base, layout.codebook_size
    return [base + slot * size + code for frame in frames for slot, code in enumerate(frame)]


def to_levels(frames: Sequence[Frame], slot_levels: Sequence[int]) -> list[list[int]]:
    """Returns the codes of each SNAC level over all frames, coarse to fine.

    Within a level the slots keep their order (orpheus-speech `decoder.py`: level 1 is slots 1
    and 4, level 2 is slots 2, 3, 5 and 6).
    """
    levels: list[list[int]] = [[] for _ in range(max(slot_levels) + 1)]
    for frame in frames:
        for level, code in zip(slot_levels, frame, strict=True):
            levels[level].append(code)
    return levels
