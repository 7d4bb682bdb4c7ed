import torch

from training.codec.losses import SpectralLoss


def _noise(seed: int) -> torch.Tensor:
    return torch.randn(2, 8_192, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_equal_samples_have_no_loss() -> None:
    assert float(SpectralLoss()(_noise(0), _noise(0))) == 0.0


def test_half_as_loud_is_worse_than_a_little_quieter() -> None:
    loss = SpectralLoss()
    spoken = _noise(0)
    assert float(loss(spoken * 0.5, spoken)) > float(loss(spoken * 0.9, spoken)) > 0


def test_gradients_are_finite_in_silence() -> None:
    decoded = torch.zeros(1, 4_096, requires_grad=True)
    loss = SpectralLoss()(decoded, _noise(0)[:1, :4_096])
    loss.backward()
    assert decoded.grad is not None
    assert bool(decoded.grad.isfinite().all())
