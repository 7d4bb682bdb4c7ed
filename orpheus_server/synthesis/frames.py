"""Audio token ids to frames and back: one code per slot, and nothing the model wrote is lost.

Realigning by the token's own slot rather than by a running count: one token too few, too many or
of the wrong slot harms no frame but its own, which at worst is heard twice. The reference decoders
count, and drop the legal code 0; there one bad token costs 85 to 427 ms (orpheus-speech
`decoder.py`).
"""

from collections.abc import Iterable, Sequence

from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.interfaces import Frame


class FrameAssembler:
    """Feed ids as they come; whole frames come out, a last one that is not whole never does.

    `num_filled` counts slots that no token came for: they repeat the code of the frame before.
    `num_stray` counts audio tokens that fit nowhere, `num_other` ids that are neither
    audio nor a stop.
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
        """Frames that these ids complete, in order."""
        frames: list[Frame] = []
        base, size, num_slots = self._base, self._size, self._num_slots
        for token_id in token_ids:
            slot, code = divmod(token_id - base, size)
            if slot == len(self._partial) < num_slots - 1:
                # Nearly every token: this runs 82 times for a second of each stream.
                self._partial.append(code)
            elif 0 <= slot < num_slots:
                self._place(slot, code, frames)
            elif token_id not in self._layout.stop_token_ids:
                self.num_other += 1
        return frames

    def _place(self, slot: int, code: int, frames: list[Frame]) -> None:
        expected = len(self._partial)
        if slot == 0 and expected == 1:
            # Two beginnings in a row: filling six slots would make a frame out of one token.
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
    """The ids that a model writes for these frames."""
    base, size = layout.audio_token_base, layout.codebook_size
    return [base + slot * size + code for frame in frames for slot, code in enumerate(frame)]


def to_levels(frames: Sequence[Frame], slot_levels: Sequence[int]) -> list[list[int]]:
    """Codes of each SNAC level over all frames, coarse to fine.

    Within a level the slots keep their order (orpheus-speech `decoder.py`: level 1 is slots 1
    and 4, level 2 is slots 2, 3, 5 and 6).
    """
    levels: list[list[int]] = [[] for _ in range(max(slot_levels) + 1)]
    for frame in frames:
        for level, code in zip(slot_levels, frame, strict=True):
            levels[level].append(code)
    return levels
