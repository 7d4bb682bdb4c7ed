"""The attention guide."""

import math

import numpy as np
import pytest
import torch

from training.language_model.guide import guide_loss, guide_rows, guide_weight


def test_the_weight_falls_by_steps_and_stays() -> None:
    assert guide_weight(0) == 0.4
    assert guide_weight(3_000) == pytest.approx(0.24)
    assert guide_weight(6_000) == guide_weight(1_000_000) == pytest.approx(0.08)


def test_the_rewards_of_two_symbols() -> None:
    rows = guide_rows(np.array([[0, 2], [2, 4]], np.float32), 4)
    assert rows.shape == (29, 2)
    # Slot 2 of frame 0 is at 0.125 frames, 1.875 before the second symbol.
    assert rows[2].tolist() == pytest.approx([1, math.exp(-0.5 * ((1.875 - 0.35) / 0.5) ** 2)])
    # Slot 0 of frame 2 is at 2.5.
    assert rows[14].tolist() == pytest.approx([math.exp(-0.5 * (0.15 / 0.5) ** 2), 1])
    # The stop comes after the last frame.
    assert rows[28, 1] == 1


def test_the_loss_of_weights_made_by_hand() -> None:
    # One utterance, two heads, three positions of which the second is guided to position 0.
    weights = torch.zeros(1, 2, 3, 3)
    weights[0, 0, 1] = torch.tensor([0.5, 0.5, 0.0])
    weights[0, 1, 1] = torch.tensor([1.0, 0.0, 0.0])
    guide = torch.zeros(1, 3, 2)
    guide[0, 1, 0] = 1.0
    expected = -(math.log(0.501) + math.log(1.001)) / 2
    assert guide_loss([weights], guide).item() == pytest.approx(expected, abs=1e-5)
    # The mean over layers.
    twice = guide_loss([weights, torch.ones(1, 2, 3, 3)], guide).item()
    assert twice == pytest.approx((expected - math.log(1.001)) / 2, abs=1e-5)


def test_rows_in_which_nothing_is_spoken_do_not_count() -> None:
    assert guide_loss([torch.ones(1, 2, 3, 3)], torch.full((1, 3, 2), 0.1)).item() == 0
