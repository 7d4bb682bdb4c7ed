"""A tiny model whose every step depends on all steps before it, as real ones do."""

from typing import Any

import numpy as np
import torch
from torch import nn

from training.distributed import World


class TinyTrainee:
    """A linear model with dropout-like noise and momentum; all randomness is from the step."""

    def __init__(self, world: World | None = None) -> None:
        self._world = world or World()
        self.model = nn.Linear(4, 3)
        with torch.no_grad():
            self.model.weight.copy_(torch.linspace(-1, 1, 12).view(3, 4))
            self.model.bias.zero_()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.scales: list[float] = []

    def train_step(self, step: int, learning_rate_scale: float) -> dict[str, float]:
        rng = np.random.default_rng([1, step, self._world.rank])
        batch = torch.from_numpy(rng.standard_normal((8, 4)).astype(np.float32))
        for group in self.optimizer.param_groups:
            group["lr"] = 0.1 * learning_rate_scale
        loss = (self.model(batch) - batch[:, :3]).abs().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self._world.average_gradients(list(self.model.parameters()))
        self.optimizer.step()
        self.scales.append(learning_rate_scale)
        return {"loss": loss.item()}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    @property
    def weights(self) -> bytes:
        """All weights, to compare bit for bit."""
        return b"".join(p.detach().numpy().tobytes() for p in self.model.parameters())
