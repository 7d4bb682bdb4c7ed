"""SNAC's decoder layers on windows: each takes exactly the positions that its output needs.

Tensors are time-major, [batch, positions, channels]: pointwise convolutions are then one matrix
product over the whole batch, whose rows do not change with the number of rows, and a transposed
convolution adds whole rows. Edges of an utterance are positions whose values are zeroed, which is
what `same` padding means there.
"""

import torch
from snac.layers import NoiseBlock, ResidualUnit, Snake1d
from torch import nn

from orpheus_server.audio.snac.noise import position_noise
from orpheus_server.audio.snac.spans import Span

_ROUND_COLUMNS = 8


class Layer(nn.Module):
    """Output for a span of positions, from the input's values on `needs(span)`.

    Called with values [batch, needs(span).length, in], the span and the windows' `BatchPosition`;
    gives [batch, span.length, out].
    """

    rate: int = 1
    """Positions per latent at the output."""

    def needs(self, span: Span) -> Span:
        """Positions of the input that these of the output depend on."""
        return span

    def count_macs(self, before: Span, after: Span) -> int:
        """Multiply-accumulates of convolutions for one window: input span, output span."""
        return 0


class BatchPosition:
    """Where the windows of a batch lie: `origins` and `ends` in latents, `seeds` of the noise.

    All int64 [batch]. `is_edge` is false if no window reaches over an end of its utterance.
    """

    def __init__(
        self, origins: torch.Tensor, ends: torch.Tensor, seeds: torch.Tensor, *, is_edge: bool
    ) -> None:
        self.origins = origins[:, None]
        self.ends = ends[:, None]
        self.seeds = seeds[:, None]
        self.is_edge = is_edge

    def positions(self, span: Span, rate: int) -> torch.Tensor:
        """Absolute positions [batch, span.length] at a layer of that rate."""
        offsets = torch.arange(span.start, span.end, device=self.origins.device)
        return self.origins * rate + offsets

    def mask(self, values: torch.Tensor, span: Span, rate: int) -> torch.Tensor:
        """`values` with zeros where there is no utterance; changes them in place."""
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
        """The same shape."""
        return self.apply_to(values)

    def apply_to(self, values: torch.Tensor) -> torch.Tensor:
        """A new tensor; in place where it can be, because memory traffic is its cost."""
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
            raise ValueError(f"no convolution of SNAC's decoder: {source}")
        weight = source.weight.detach()
        taps = weight[:, 0].T if self.is_depthwise else weight.permute(2, 1, 0)
        self.register_buffer("taps", taps.contiguous())
        bias = torch.zeros(source.out_channels, dtype=weight.dtype, device=weight.device)
        self.register_buffer("bias", bias if source.bias is None else source.bias.detach().clone())

    @property
    def reach(self) -> int:
        """Positions to each side."""
        return (self.num_taps - 1) * self.dilation // 2

    def needs(self, span: Span) -> Span:
        """The taps' reach on both sides."""
        return span.widen(self.reach)

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """As the base class says; positions outside of the utterance become zero."""
        return position.mask(self.apply_to(values), span, self.rate)

    def count_macs(self, before: Span, after: Span) -> int:
        """One for each weight and output."""
        return self.taps.numel() * after.length

    def apply_to(self, values: torch.Tensor) -> torch.Tensor:
        """[batch, n, in] to [batch, n - 2 * reach, out]."""
        length = values.shape[1] - 2 * self.reach
        if self.is_depthwise and values.is_cuda:
            # One kernel; the products below would read and write the values seven times.
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
    """The last convolution, to one channel, and its tanh: taps are columns of one product."""

    taps: torch.Tensor
    bias: torch.Tensor

    def __init__(self, source: nn.Conv1d, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.num_taps = source.kernel_size[0]
        if source.out_channels != 1 or source.bias is None:
            raise ValueError(f"not the last convolution of SNAC's decoder: {source}")
        taps = source.weight.detach()[0]
        # With an odd number of columns the rows of a product change with the number of rows.
        padded = nn.functional.pad(taps, (0, -self.num_taps % _ROUND_COLUMNS))
        self.register_buffer("taps", padded.contiguous())
        self.register_buffer("bias", source.bias.detach().clone())

    def needs(self, span: Span) -> Span:
        """The taps' reach on both sides."""
        return span.widen((self.num_taps - 1) // 2)

    def count_macs(self, before: Span, after: Span) -> int:
        """One for each column of the product, the padding included."""
        return self.taps.numel() * before.length

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """[batch, n + 6, channels] to samples [batch, n]."""
        products = values @ self.taps
        total = self.bias + products[:, : span.length, 0]
        for tap in range(1, self.num_taps):
            total += products[:, tap : tap + span.length, tap]
        return total.tanh_()


class Transposed(Layer):
    """A transposed convolution whose kernel is two strides: two inputs feed each output."""

    late: torch.Tensor
    early: torch.Tensor
    bias: torch.Tensor

    def __init__(self, source: nn.ConvTranspose1d, rate: int) -> None:
        super().__init__()
        self.stride, self.padding = source.stride[0], int(source.padding[0])
        if source.kernel_size != (2 * self.stride,) or source.groups != 1 or source.bias is None:
            raise ValueError(f"no transposed convolution of SNAC's decoder: {source}")
        self.rate = rate * self.stride
        # [in, out, (half, phase)]: the first half of the kernel goes with the later input.
        halves = (
            source.weight.detach()
            .reshape(*source.weight.shape[:2], 2, self.stride)
            .permute(2, 0, 3, 1)
        )
        self.register_buffer("late", halves[0].flatten(1).contiguous())
        self.register_buffer("early", halves[1].flatten(1).contiguous())
        self.register_buffer("bias", source.bias.detach().repeat(self.stride))

    def needs(self, span: Span) -> Span:
        """As `Span.before_stride` says."""
        return span.before_stride(self.stride, self.padding)

    def count_macs(self, before: Span, after: Span) -> int:
        """One for each weight and pair of neighbouring inputs."""
        return 2 * self.late.numel() * (before.length - 1)

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """As the base class says; positions outside of the utterance become zero."""
        batch, length, _ = values.shape
        # Between two inputs lies one stride of outputs.
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
        """Those of its pointwise convolution."""
        return self.linear.count_macs(before, after)

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """The same shape."""
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
        """The reach of its dilated convolution on both sides."""
        return span.widen(self.wide.reach)

    def count_macs(self, before: Span, after: Span) -> int:
        """Those of its two convolutions, both on the cropped part."""
        return self.wide.count_macs(before, after) + self.narrow.count_macs(after, after)

    def forward(self, values: torch.Tensor, span: Span, position: BatchPosition) -> torch.Tensor:
        """As the base class says; positions outside of the utterance become zero."""
        inner = self.second.apply_to(self.wide.apply_to(self.first.apply_to(values)))
        out = self.narrow.apply_to(inner)
        reach = self.wide.reach
        out += values[:, reach : reach + span.length]
        return position.mask(out, span, self.rate)


def _rows(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, values.shape[-1])
