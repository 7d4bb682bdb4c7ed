"""Noise as a function of position."""

import torch

from orpheus_server.codec.noise import position_noise

CPU = torch.device("cpu")


def noise(seed: int, layer: int, start: int, length: int) -> torch.Tensor:
    return position_noise(
        seed=seed, layer=layer, start=start, length=length, device=CPU, dtype=torch.float32
    )


def test_any_part_equals_the_same_part_of_the_whole() -> None:
    whole = noise(7, 1, 0, 10_000)
    for start, length in ((0, 1), (0, 100), (4096, 2048), (9_999, 1)):
        assert torch.equal(noise(7, 1, start, length), whole[start : start + length])


def test_seed_and_layer_each_give_other_noise() -> None:
    base = noise(7, 1, 0, 4096)
    for other in (noise(8, 1, 0, 4096), noise(7, 2, 0, 4096)):
        assert abs(torch.corrcoef(torch.stack([base, other]))[0, 1].item()) < 0.06


def test_is_standard_normal_and_white() -> None:
    values = noise(3, 0, 0, 200_000).double()
    assert abs(values.mean().item()) < 0.01
    assert abs(values.std().item() - 1.0) < 0.01
    assert abs((values**4).mean().item() - 3.0) < 0.1
    assert abs((values[1:] * values[:-1]).mean().item()) < 0.01


def test_every_seed_of_63_bits_and_negative_ones_are_taken() -> None:
    for seed in (0, -1, 2**63 - 1, -(2**63), 2**70):
        assert torch.isfinite(noise(seed, 3, 0, 64)).all()
