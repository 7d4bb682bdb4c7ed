"""Encoder, quantizer and mel head, trained on mels alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from training.codec.config import SAMPLES_PER_FRAME, CodecConfig
from training.codec.encoder import MelEncoder, MelHead
from training.codec.mels import MelFrontEnd
from training.codec.precision import fast_products
from training.codec.quantizer import Quantized, build_quantizer, new_usage, quantize
from training.codec.segments import SpeechSegments, step_random
from training.distributed import World

REFRESH_EVERY = 200
"""Steps after which new speech is looked for."""


@dataclass(frozen=True, slots=True)
class CodesRecipe:
    """How encoder and quantizer are trained; `batch_size` is for each process."""

    seed: int = 0
    learning_rate: float = 3e-3
    num_warm_up_steps: int = 100
    batch_size: int = 6
    segment_frames: int = 24
    restart_every: int = 50
    restart_until_step: int = 4_000
    """Unused codes are moved in the first part only: later, the decoder relies on them."""


class CodesTrainee:
    """Trains codes by the mels that a small head reads from them."""

    def __init__(
        self,
        config: CodecConfig,
        recipe: CodesRecipe,
        segments: SpeechSegments,
        world: World,
        *,
        is_compiled: bool,
        device: torch.device | None = None,
    ) -> None:
        self._device = device or torch.device("cpu")
        torch.manual_seed(recipe.seed)
        self._recipe = recipe
        self._segments = segments
        self._world = world
        self._mels = MelFrontEnd().to(self._device)
        self.encoder = MelEncoder(config).to(self._device)
        self.quantizer = build_quantizer(config).to(self._device)
        self.mel_head = MelHead(config).to(self._device)
        self._usage = new_usage(config)
        self._parameters = [p for module in self._modules().values() for p in module.parameters()]
        self._optimizer = torch.optim.AdamW(
            self._parameters, recipe.learning_rate, betas=(0.8, 0.99), weight_decay=1e-3
        )
        self._encode: Callable[[torch.Tensor], torch.Tensor] = self.encoder
        self._read_mels: Callable[[torch.Tensor], torch.Tensor] = self.mel_head
        if is_compiled:
            self._encode = torch.compile(self.encoder)
            self._read_mels = torch.compile(self.mel_head)

    def train_step(self, step: int, learning_rate_scale: float) -> dict[str, float]:
        recipe = self._recipe
        if step % REFRESH_EVERY == 0:
            self._segments.refresh()
        random = step_random(recipe.seed, step, self._world.rank)
        samples = self._segments.batch(
            random, recipe.batch_size, recipe.segment_frames * SAMPLES_PER_FRAME
        )
        with torch.no_grad():
            mels = self._mels(samples.to(self._device))
        with fast_products(self._device):
            latents = self._encode(mels)
        quantized = quantize(self.quantizer, latents.float())
        with fast_products(self._device):
            found = self._read_mels(quantized.latents)
        distance = (found - mels).abs().mean()
        self._optimizer.zero_grad()
        (distance + quantized.loss).backward()
        self._world.average_gradients(self._parameters)
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * learning_rate_scale
        self._optimizer.step()
        self._restart_unused(step, quantized)
        used = self._usage.num_used()
        return {
            "mel_distance": distance.item(),
            "code_loss": quantized.loss.item(),
            **{f"used_{book}": float(num) for book, num in enumerate(used)},
        }

    def _restart_unused(self, step: int, quantized: Quantized) -> None:
        recipe = self._recipe
        self._usage.add(quantized)
        # Also at the first step: random codes are far from what the encoder makes.
        if step < recipe.restart_until_step and step % recipe.restart_every == 0:
            # One rank more than there are: its numbers are not those of any batch.
            random = step_random(recipe.seed, step, self._world.size)
            self._usage.restart_unused(self.quantizer, quantized, random, self._world)

    def state_dict(self) -> dict[str, Any]:
        return {
            **{name: module.state_dict() for name, module in self._modules().items()},
            "optimizer": self._optimizer.state_dict(),
            "usage": self._usage.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, module in self._modules().items():
            module.load_state_dict(state[name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._usage.load_state_dict(state["usage"])

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "encoder": self.encoder,
            "quantizer": self.quantizer,
            "mel_head": self.mel_head,
        }
