"""SNAC's decoder layers for windows: each layer reads exactly the positions its output depends on.

Tensors are time-major, [batch, positions, channels]: a pointwise convolution is then one matrix
product over the whole batch, whose rows do not depend on the number of rows, and a transposed
convolution adds whole rows. Values at positions outside the utterance are zeroed, which is the
effect of `same` padding at its edges.
"""

import torch
from snac.layers import NoiseBlock, ResidualUnit, Snake1d
from torch import nn

from orpheus_server.audio.snac.noise import position_noise
from orpheus_server.audio.snac.spans import Span

_ROUND_COLUMNS = 8


class Layer(nn.Module):
    """Computes the output for a span of positions from the input's values on `needs(span)`.

    Called with values [batch, needs(span).length, in], the span and the windows' `BatchPosition`;
    returns [batch, span.length, out].
    """

    rate: int = 1
    """Positions per latent at the output."""

    def needs(self, span: Span) -> Span:
        """Returns the positions of the input that this span of the output depends on."""
        return span

    def count_macs(self, before: Span, after: Span) -> int:
        """Returns the multiply-accumulates of convolutions for one window's input and output."""
        return 0


class BatchPosition:
    """The positions of a batch's windows: `origins` and `ends` in latents, `seeds` for the noise.

    All are int64 [batch]. `is_edge` is false if no window extends over an end of its utterance.
    """

    def __init__(
        self, origins: torch.Tensor, ends: torch.Tensor, seeds: torch.Tensor, *, is_edge: bool
    ) -> None:
        self.origins = origins[:, None]
        self.ends = ends[:, None]
        self.seeds = seeds[:, None]
        self.is_edge = is_edge

    def positions(self, span: Span, rate: int) -> torch.Tensor:
        """Returns absolute positions [batch, span.length] at a layer with this rate."""
        offsets = torch.arange(span.start, span.end, device=self.origins.device)
        return self.origins * rate + offsets

    def mask(self, values: torch.Tensor, span: Span, rate: int) -> torch.Tensor:
        """Zeroes the values at positions outside the utterance, in place; returns `values`."""
        if self.is_edge:
            positions = self.positions(span, rate)
            is_inside = (positions >= 0) & (positions < self.ends * rate)
            values *= is_inside[..., None]
        return values


class Snake(Layer):
    """`x + sin(alpha x)^2 / alpha` for each channel (snac `layers.py`)."""

    alpha: torch.Tensor
    inverse: torch.Tensor

    def __init__(self, source: Snake1d, rate: int) -> None:
        super().__init__()
        self.rate = rate
        alpha = source.alpha.detach().reshape(-1)
        self.register_buffer("alpha", alpha.clone())
        self.register_buffer("inverse", (alpha + 1e-9).reciprocal())

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """Returns values of the same shape."""
        return self.apply_to(values)

    def apply_to(self, values: torch.Tensor) -> torch.Tensor:
        """Returns a new tensor; intermediate steps are in place, because they are memory-bound."""
        squared = (values * self.alpha).sin_().square_()
        return squared.mul_(self.inverse).add_(values)


class Conv(Layer):
    """A convolution without padding: depthwise as shifted products, else as matrix products."""

    taps: torch.Tensor
    bias: torch.Tensor

    def __init__(self, source: nn.Conv1d, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.num_taps, self.dilation = source.kernel_size[0], source.dilation[0]
        self.is_depthwise = source.groups > 1
        if source.groups not in (1, source.in_channels) or source.stride != (1,):
            raise ValueError(f"not a convolution of SNAC's decoder: {source}")
        weight = source.weight.detach()
        taps = weight[:, 0].T if self.is_depthwise else weight.permute(2, 1, 0)
        self.register_buffer("taps", taps.contiguous())
        bias = torch.zeros(source.out_channels, dtype=weight.dtype, device=weight.device)
        self.register_buffer("bias", bias if source.bias is None else source.bias.detach().clone())

    @property
    def reach(self) -> int:
        """Positions that each output depends on, to each side."""
        return (self.num_taps - 1) * self.dilation // 2

    def needs(self, span: Span) -> Span:
        """Widens the span by the taps' reach on both sides."""
        return span.widen(self.reach)

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """Returns [batch, span.length, out]; positions outside the utterance are zero."""
        return position.mask(self.apply_to(values), span, self.rate)

    def count_macs(self, before: Span, after: Span) -> int:
        """Counts one for each weight and output."""
        return self.taps.numel() * after.length

    def apply_to(self, values: torch.Tensor) -> torch.Tensor:
        """Maps [batch, n, in] to [batch, n - 2 * reach, out]."""
        length = values.shape[1] - 2 * self.reach
        if self.is_depthwise and values.is_cuda:
            # A single kernel; the products below would read and write the values seven times.
            kernel = self.taps.T[:, None]
            out = nn.functional.conv1d(
                values.mT, kernel, self.bias, dilation=self.dilation, groups=len(kernel)
            )
            return out.mT.contiguous()
        shifted = [
            values[:, tap * self.dilation : tap * self.dilation + length]
            for tap in range(self.num_taps)
        ]
        if self.is_depthwise:
            out = torch.addcmul(self.bias, shifted[0], self.taps[0])
            for part, weight in zip(shifted[1:], self.taps[1:], strict=True):
                out.addcmul_(part, weight)
            return out
        rows = torch.addmm(self.bias, _rows(shifted[0]), self.taps[0])
        for part, weight in zip(shifted[1:], self.taps[1:], strict=True):
            rows.addmm_(_rows(part), weight)
        return rows.view(values.shape[0], length, -1)


class LastConv(Layer):
    """The last convolution, to one channel, and its tanh; its taps are columns of one product."""

    taps: torch.Tensor
    bias: torch.Tensor

    def __init__(self, source: nn.Conv1d, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.num_taps = source.kernel_size[0]
        if source.out_channels != 1 or source.bias is None:
            raise ValueError(f"not the last convolution of SNAC's decoder: {source}")
        taps = source.weight.detach()[0]
        # With an odd number of columns, the rows of a product depend on the number of rows.
        padded = nn.functional.pad(taps, (0, -self.num_taps % _ROUND_COLUMNS))
        self.register_buffer("taps", padded.contiguous())
        self.register_buffer("bias", source.bias.detach().clone())

    def needs(self, span: Span) -> Span:
        """Widens the span by the taps' reach on both sides."""
        return span.widen((self.num_taps - 1) // 2)

    def count_macs(self, before: Span, after: Span) -> int:
        """Counts one for each column of the product, including the padding."""
        return self.taps.numel() * before.length

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """Maps [batch, n + 6, channels] to samples [batch, n]."""
        products = values @ self.taps
        total = self.bias + products[:, : span.length, 0]
        for tap in range(1, self.num_taps):
            total += products[:, tap : tap + span.length, tap]
        return total.tanh_()


class Transposed(Layer):
    """A transposed convolution with a kernel of two strides: each output adds two inputs."""

    late: torch.Tensor
    early: torch.Tensor
    bias: torch.Tensor

    def __init__(self, source: nn.ConvTranspose1d, rate: int) -> None:
        super().__init__()
        self.stride, self.padding = source.stride[0], int(source.padding[0])
        if source.kernel_size != (2 * self.stride,) or source.groups != 1 or source.bias is None:
            raise ValueError(f"not a transposed convolution of SNAC's decoder: {source}")
        self.rate = rate * self.stride
        # [in, out, (half, phase)]: the first half of the kernel applies to the later input.
        halves = (
            source.weight.detach()
            .reshape(*source.weight.shape[:2], 2, self.stride)
            .permute(2, 0, 3, 1)
        )
        self.register_buffer("late", halves[0].flatten(1).contiguous())
        self.register_buffer("early", halves[1].flatten(1).contiguous())
        self.register_buffer("bias", source.bias.detach().repeat(self.stride))

    def needs(self, span: Span) -> Span:
        """Returns `span.before_stride`."""
        return span.before_stride(self.stride, self.padding)

    def count_macs(self, before: Span, after: Span) -> int:
        """Counts one for each weight and pair of neighbouring inputs."""
        return 2 * self.late.numel() * (before.length - 1)

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """Returns [batch, span.length, out]; positions outside the utterance are zero."""
        batch, length, _ = values.shape
        # There is one stride of outputs between two inputs.
        rows = torch.addmm(self.bias, _rows(values[:, 1:]), self.late)
        rows.addmm_(_rows(values[:, :-1]), self.early)
        out = rows.view(batch, (length - 1) * self.stride, -1)
        first = (self.needs(span).start + 1) * self.stride - self.padding
        return position.mask(out[:, span.start - first : span.end - first], span, self.rate)


class Noise(Layer):
    """Gaussian noise scaled by the signal, a function of seed, layer and absolute position."""

    def __init__(self, source: NoiseBlock, rate: int, index: int) -> None:
        super().__init__()
        self.rate = rate
        self.index = index
        self.linear = Conv(source.linear, rate)

    def count_macs(self, before: Span, after: Span) -> int:
        """Counts those of its pointwise convolution."""
        return self.linear.count_macs(before, after)

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """Returns values of the same shape."""
        positions = position.positions(span, self.rate)
        noise = position_noise(
            seeds=position.seeds, layer=self.index, positions=positions, dtype=values.dtype
        )
        return self.linear.apply_to(values).mul_(noise[..., None]).add_(values)


class Residual(Layer):
    """Snake, dilated convolution, snake, pointwise convolution, added to its input."""

    def __init__(self, source: ResidualUnit, rate: int) -> None:
        super().__init__()
        self.rate = rate
        first, wide, second, narrow = source.block
        self.first, self.second = Snake(first, rate), Snake(second, rate)
        self.wide, self.narrow = Conv(wide, rate), Conv(narrow, rate)

    def needs(self, span: Span) -> Span:
        """Widens the span by the reach of its dilated convolution."""
        return span.widen(self.wide.reach)

    def count_macs(self, before: Span, after: Span) -> int:
        """Counts those of its two convolutions, both on the cropped part."""
        return self.wide.count_macs(before, after) + self.narrow.count_macs(after, after)

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """Returns [batch, span.length, out]; positions outside the utterance are zero."""
        inner = self.second.apply_to(self.wide.apply_to(self.first.apply_to(values)))
        out = self.narrow.apply_to(inner)
        reach = self.wide.reach
        out += values[:, reach : reach + span.length]
        return position.mask(out, span, self.rate)


def _rows(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, values.shape[-1])
