"""Gaussian noise as a pure function of seed, layer and position.

SNAC's noise blocks call `randn`, so the same codes sound a little different in every decode and
with every split. Noise that depends on the absolute position is the same for any part of an
utterance, however the utterance is split and whenever it is decoded.
"""

import math

import torch

# Constants of SplitMix64 (Steele, Lea, Flood 2014) as signed 64-bit numbers, which is how torch
# multiplies; overflow wraps.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_LOW_32 = 0xFFFFFFFF


def _shift_right(value: torch.Tensor, num_bits: int) -> torch.Tensor:
    """Logical shift; torch's own shift keeps the sign."""
    return (value >> num_bits) & ((1 << (64 - num_bits)) - 1)


def _mix(value: torch.Tensor) -> torch.Tensor:
    value = (value ^ _shift_right(value, 30)) * _MIX_1
    value = (value ^ _shift_right(value, 27)) * _MIX_2
    return value ^ _shift_right(value, 31)


def position_noise(
    *, seeds: torch.Tensor, layer: int, positions: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Returns standard normal values in the shape of `positions`.

    `positions` are absolute, at the layer's own rate. `seeds` are below 2**63 and broadcast to the
    shape of `positions`. Both are int64.
    """
    key = _mix(_mix(seeds) + _wrap((layer + 1) * _GOLDEN))
    bits = _mix(key + (positions + 1) * _GOLDEN)
    # Box-Muller on the two halves; +0.5 keeps the logarithm finite.
    radius = (_shift_right(bits, 32).double() + 0.5) / (1 << 32)
    angle = (bits & _LOW_32).double() * (2 * math.pi / (1 << 32))
    return (torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(angle)).to(dtype)


def _wrap(value: int) -> int:
    """Returns `value` as a signed 64-bit number."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
