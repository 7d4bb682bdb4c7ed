"""Spans of positions: the part of each layer that a window needs, derived from its output."""

from typing import NamedTuple


class Span(NamedTuple):
    """Positions `start` up to `end` at a layer's own rate; negative ones are before the window."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.end - self.start

    def widen(self, reach: int) -> "Span":
        """Returns the span plus `reach` positions on both sides, as a convolution needs."""
        return Span(self.start - reach, self.end + reach)

    def before_stride(self, stride: int, padding: int) -> "Span":
        """Returns the input span of a transposed convolution with a kernel of two strides.

        Output `o` depends on the inputs `i` with `0 <= o + padding - i * stride < 2 * stride`.
        """
        first = -(-(self.start + padding - 2 * stride + 1) // stride)
        return Span(first, (self.end - 1 + padding) // stride + 1)
