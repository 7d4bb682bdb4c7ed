"""Which part of each layer a window needs, counted backwards from its output."""

from typing import NamedTuple


class Span(NamedTuple):
    """Positions `start` up to `end` at a layer's own rate; negative ones lie before the window."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.end - self.start

    def widen(self, reach: int) -> "Span":
        """The span and `reach` positions on both sides: what a convolution of that reach reads."""
        return Span(self.start - reach, self.end + reach)

    def before_stride(self, stride: int, padding: int) -> "Span":
        """The input of a transposed convolution with a kernel of two strides.

        Output `o` is fed by the inputs `i` with `0 <= o + padding - i * stride < 2 * stride`.
        """
        first = -(-(self.start + padding - 2 * stride + 1) // stride)
        return Span(first, (self.end - 1 + padding) // stride + 1)
