"""SNAC's decoder, trained on waveforms; spectral losses first, then discriminators as well."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from snac import SNAC
from torch import nn
from torch.nn import functional as F

from training.codec.config import LATENTS_PER_FRAME, SAMPLES_PER_FRAME
from training.codec.discriminators import (
    Discriminators,
    Verdict,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from training.codec.encoder import encoder_reach
from training.codec.frozen import FrozenEncoder
from training.codec.losses import SpectralLoss
from training.codec.segments import SpeechSegments, step_random
from training.distributed import World

REFRESH_EVERY = 200
"""Steps after which new speech is looked for."""


@dataclass(frozen=True, slots=True)
class DecoderRecipe:
    """How the decoder is trained; `batch_size` is for each process."""

    seed: int = 1
    learning_rate: float = 8e-4
    discriminator_learning_rate: float = 4e-4
    num_warm_up_steps: int = 200
    batch_size: int = 4
    segment_frames: int = 6
    """Of the part that is decoded; the encoder also sees the speech on both sides of it."""
    discriminator_width: int = 8
    discriminate_from_step: int = 8_000
    discriminator_warm_up_steps: int = 500
    """Steps in which the weight of the discriminators' losses rises to 1."""
    spectral_weight: float = 15.0
    feature_weight: float = 4.0
    """Both beside the adversarial loss, whose weight is 1."""


class DecoderTrainee:
    """Trains a decoder; encoder and quantizer stay as they were frozen."""

    def __init__(
        self,
        frozen: FrozenEncoder,
        recipe: DecoderRecipe,
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
        self.frozen = frozen
        for module in (frozen.encoder, frozen.quantizer, frozen.mels):
            module.to(self._device)
        self.decoder: nn.Module = SNAC(**frozen.config.to_snac()).decoder.to(self._device)
        self._discriminators = Discriminators(recipe.discriminator_width).to(self._device)
        self._spectral_loss = SpectralLoss().to(self._device)
        self._optimizer = _optimizer(self.decoder, recipe.learning_rate)
        self._discriminator_optimizer = _optimizer(
            self._discriminators, recipe.discriminator_learning_rate
        )
        # The encoder must see what it sees in a whole utterance, or its latents are other ones.
        self._margin_frames = -(-encoder_reach(frozen.config) // LATENTS_PER_FRAME)
        self._decode: Callable[[torch.Tensor], torch.Tensor] = self.decoder
        self._judge: Callable[[torch.Tensor], list[Verdict]] = self._discriminators
        if is_compiled:
            self._decode = torch.compile(self.decoder)
            self._judge = torch.compile(self._discriminators)

    def train_step(self, step: int, learning_rate_scale: float) -> dict[str, float]:
        if step % REFRESH_EVERY == 0:
            self._segments.refresh()
        for optimizer, rate in (
            (self._optimizer, self._recipe.learning_rate),
            (self._discriminator_optimizer, self._recipe.discriminator_learning_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * learning_rate_scale
        # TorchScript optimizes SNAC's activation after its first calls in a process, which changes
        # the last bits of gradients: a resumed run would differ from an uninterrupted one.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return self._step(step)

    def _step(self, step: int) -> dict[str, float]:
        spoken, latents = self._batch(step)
        decoded = self._decode(latents)[:, 0]
        spectral = self._spectral_loss(decoded, spoken)
        weight = self._discriminator_weight(step)
        if weight == 0:
            self._update(self._optimizer, self.decoder, spectral, max_norm=1.0)
            return {"spectral": spectral.item()}
        return self._adversarial_step(spoken, decoded, spectral, weight)

    def _adversarial_step(
        self, spoken: torch.Tensor, decoded: torch.Tensor, spectral: torch.Tensor, weight: float
    ) -> dict[str, float]:
        recipe = self._recipe
        real = self._judge(spoken)
        discriminator = discriminator_loss(real, self._judge(decoded.detach()))
        self._update(
            self._discriminator_optimizer, self._discriminators, discriminator, max_norm=20.0
        )
        with torch.no_grad():
            real = self._judge(spoken)
        # The decoder's gradients pass through the discriminators, whose own are not needed.
        self._discriminators.requires_grad_(False)
        fake = self._judge(decoded)
        adversarial, features = adversarial_loss(fake), feature_loss(real, fake)
        loss = recipe.spectral_weight * spectral + weight * (
            adversarial + recipe.feature_weight * features
        )
        self._update(self._optimizer, self.decoder, loss, max_norm=20.0)
        self._discriminators.requires_grad_(True)
        return {
            "spectral": spectral.item(),
            "discriminator": discriminator.item(),
            "adversarial": adversarial.item(),
            "features": features.item(),
        }

    def _batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns spoken samples [batch, samples] and their quantized latents."""
        recipe, margin = self._recipe, self._margin_frames
        random = step_random(recipe.seed, step, self._world.rank)
        num_frames = recipe.segment_frames + 2 * margin
        wide = self._segments.batch(random, recipe.batch_size, num_frames * SAMPLES_PER_FRAME)
        wide = wide.to(self._device)
        latents = self.frozen.latents(wide)
        cut, samples = margin * LATENTS_PER_FRAME, margin * SAMPLES_PER_FRAME
        return F.pad(wide, (-samples, -samples)), F.pad(latents, (-cut, -cut))

    def _discriminator_weight(self, step: int) -> float:
        recipe = self._recipe
        since = step + 1 - recipe.discriminate_from_step
        return min(1.0, max(0.0, since / recipe.discriminator_warm_up_steps))

    def _update(
        self,
        optimizer: torch.optim.Optimizer,
        module: nn.Module,
        loss: torch.Tensor,
        *,
        max_norm: float,
    ) -> None:
        parameters = list(module.parameters())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._world.average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, max_norm)
        optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {
            "decoder": self.decoder.state_dict(),
            "discriminators": self._discriminators.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "discriminator_optimizer": self._discriminator_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.decoder.load_state_dict(state["decoder"])
        self._discriminators.load_state_dict(state["discriminators"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])


def _optimizer(module: nn.Module, learning_rate: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        module.parameters(), learning_rate, betas=(0.8, 0.99), weight_decay=1e-3
    )
