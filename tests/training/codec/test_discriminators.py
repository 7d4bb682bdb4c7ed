import torch

from training.codec.discriminators import (
    Discriminators,
    Verdict,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)


def _verdict(score: float, feature: float) -> list[Verdict]:
    return [Verdict(torch.full((2, 1, 3, 3), score), [torch.full((2, 4, 3, 3), feature)])]


def test_each_resolution_scores_patches() -> None:
    torch.manual_seed(0)
    verdicts = Discriminators(width=2)(torch.randn(2, 6 * 2_048))
    assert len(verdicts) == 3
    for verdict in verdicts:
        assert verdict.scores.shape[:2] == (2, 1)
        assert len(verdict.features) == 4


def test_hinge_losses() -> None:
    real, fake = _verdict(1.0, 1.0), _verdict(-1.0, 1.0)
    assert float(discriminator_loss(real, fake)) == 0.0
    assert float(discriminator_loss(fake, real)) == 4.0
    assert float(adversarial_loss(fake)) == 1.0
    assert float(adversarial_loss(real)) == -1.0


def test_features_are_compared_relative_to_those_of_speech() -> None:
    assert float(feature_loss(_verdict(0, 2.0), _verdict(0, 2.0))) == 0.0
    assert abs(float(feature_loss(_verdict(0, 2.0), _verdict(0, 3.0))) - 0.5) < 1e-3
