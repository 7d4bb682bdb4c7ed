"""The language model as a trainee of the training loop."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.distributed import World
from training.language_model.batches import draw_batch
from training.language_model.dataset import Dataset
from training.language_model.guide import guide_weight
from training.language_model.losses import (
    UNMASKED_WEIGHT,
    calculate_losses,
    choose_device,
    has_fast_bfloat16,
)
from training.language_model.model import LanguageModel, ModelConfig
from training.language_model.optimizers import build_optimizers, clip_gradients, step_all
from training.language_model.validation import validate
from training.language_model.vocabulary import Vocabulary
from training.shards import shard_numbers

LISTING_STEPS = 200
"""New shards are used from the next multiple of this step on."""


@dataclass(frozen=True, slots=True)
class TraineeOptions:
    """How a model is trained; `num_tokens` is of one process in one step, padding included."""

    seed: int = 1
    learning_rate: float = 3e-3
    num_tokens: int = 2432
    is_compiled: bool = False


class LanguageModelTrainee:
    """A model, its optimizers and the tokens that it learns from.

    `code_vectors` [3, codes, dim] are those of the encoder that made the tokens.
    """

    def __init__(
        self,
        tokens_folder: Path,
        vocabulary: Vocabulary,
        config: ModelConfig,
        options: TraineeOptions,
        world: World,
        *,
        code_vectors: Tensor,
    ) -> None:
        self._tokens_folder = tokens_folder
        self._vocabulary = vocabulary
        self._options = options
        self._world = world
        self._device = choose_device()
        self.model = LanguageModel(config)
        self.model.initialise(options.seed)
        self.model.embeddings.code_vectors.copy_(code_vectors)
        self.model.to(self._device)
        self._optimizers = build_optimizers(self.model, options.learning_rate)
        self._losses = calculate_losses
        if options.is_compiled:
            self._losses = torch.compile(calculate_losses, dynamic=False)
        self._is_bfloat16 = has_fast_bfloat16(self._device)
        self.dataset = Dataset(vocabulary)
        self.num_tokens_seen = 0

    def train_step(self, step: int, learning_rate_scale: float) -> dict[str, float]:
        """Makes one optimizer step and returns the losses, in nats, and the tokens seen."""
        if step % LISTING_STEPS == 0:
            self.add_new_shards()
        batch = draw_batch(
            self.dataset,
            self._vocabulary,
            seed=self._options.seed,
            step=step,
            rank=self._world.rank,
            num_tokens=self._options.num_tokens,
        )
        on_device = batch.to(self._device)
        cross_entropy, unmasked, guide = self._losses(
            self.model,
            on_device.ids,
            on_device.labels,
            on_device.guide,
            on_device.slot_positions,
            on_device.slot_labels,
            is_bfloat16=self._is_bfloat16,
        )
        loss = cross_entropy + UNMASKED_WEIGHT * unmasked + guide_weight(step) * guide
        loss.backward()  # type: ignore[no-untyped-call]
        self._world.average_gradients(list(self.model.parameters()))
        clip_gradients(self.model)
        step_all(self._optimizers, self._options.learning_rate * learning_rate_scale)
        count = torch.tensor([float(batch.num_audio_tokens)])
        self.num_tokens_seen += round(self._world.average(count).item() * self._world.size)
        return {
            "cross_entropy": cross_entropy.item(),
            "unmasked": unmasked.item(),
            "guide": guide.item(),
            "million_tokens": self.num_tokens_seen / 1e6,
        }

    def add_new_shards(self) -> None:
        """Adds the shards that the tokens stage wrote; all processes add the main one's list."""
        numbers = shard_numbers(self._tokens_folder) if self._world.is_main else []
        count = self._world.broadcast(torch.tensor([len(numbers)]))
        listing = torch.zeros(int(count), dtype=torch.int64)
        listing[: len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
        self.dataset.add(self._tokens_folder, self._world.broadcast(listing).tolist())

    def evaluate(self) -> dict[str, float]:
        """Returns the cross-entropy of speech that was not trained on; empty without such."""
        validation = validate(self.model, self._vocabulary, self.dataset.validation)
        if validation is None:
            return {}
        figures = asdict(validation) | {"text_gain": validation.text_gain}
        return {name: round(value, 4) for name, value in figures.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "config": self.model.config.to_json(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "shards": list(self.dataset.numbers),
            "num_tokens_seen": self.num_tokens_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.dataset = Dataset(self._vocabulary)
        self.dataset.add(self._tokens_folder, state["shards"])
        self.num_tokens_seen = state["num_tokens_seen"]
