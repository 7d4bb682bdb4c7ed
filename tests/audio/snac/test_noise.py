"""Noise as a pure function of position."""

import torch

from orpheus_server.audio.snac.noise import position_noise


def noise(seed: int, layer: int, start: int, length: int) -> torch.Tensor:
    return position_noise(
        seeds=torch.tensor(seed),
        layer=layer,
        positions=torch.arange(start, start + length),
        dtype=torch.float32,
    )


def test_any_part_equals_the_same_part_of_the_whole() -> None:
    whole = noise(7, 1, 0, 10_000)
    for start, length in ((0, 1), (0, 100), (4096, 2048), (9_999, 1)):
        assert torch.equal(noise(7, 1, start, length), whole[start : start + length])


def test_rows_have_their_own_seed_and_positions() -> None:
    positions = torch.stack([torch.arange(-5, 95), torch.arange(1000, 1100)])
    rows = position_noise(
        seeds=torch.tensor([[7], [2**63 - 1]]), layer=2, positions=positions, dtype=torch.float32
    )
    assert torch.equal(rows[0], noise(7, 2, -5, 100))
    assert torch.equal(rows[1], noise(2**63 - 1, 2, 1000, 100))


def test_another_seed_or_layer_gives_other_noise() -> None:
    base = noise(7, 1, 0, 4096)
    for other in (noise(8, 1, 0, 4096), noise(7, 2, 0, 4096)):
        assert abs(torch.corrcoef(torch.stack([base, other]))[0, 1].item()) < 0.06


def test_is_standard_normal_and_white() -> None:
    values = noise(3, 0, 0, 200_000).double()
    assert abs(values.mean().item()) < 0.01
    assert abs(values.std().item() - 1.0) < 0.01
    assert abs((values**4).mean().item() - 3.0) < 0.1
    assert abs((values[1:] * values[:-1]).mean().item()) < 0.01


def test_every_seed_of_63_bits_and_position_is_finite() -> None:
    """Positions before the start are computed too, and masked later."""
    for seed in (0, 1, 2**62, 2**63 - 1):
        assert torch.isfinite(noise(seed, 3, -64, 128)).all()
