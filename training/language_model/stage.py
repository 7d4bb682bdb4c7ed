"""The stage `language_model`: trains on the tokens of a generation until its budget is used up."""

from dataclasses import asdict, dataclass

import torch

from training.codec.code_vectors import read_code_vectors
from training.distributed import World
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.language_model.model import ModelConfig
from training.language_model.plan import mean_tokens_per_step, plan_steps
from training.language_model.trainee import LanguageModelTrainee, TraineeOptions
from training.language_model.vocabulary import Vocabulary
from training.recipe import Recipe, claim, read_recipe_hash
from training.shards import read_info
from training.trainer import Limits, load_newest, train_to_budget

NUM_WARM_UP_STEPS = 150


@dataclass(frozen=True, slots=True)
class LanguageModelStage:
    """A language model in a training folder."""

    folder: TrainingFolder
    vocabulary: Vocabulary
    config: ModelConfig
    options: TraineeOptions

    @property
    def recipe(self) -> Recipe:
        """What the model is made from. Raises `TrainingError` if there are no tokens yet."""
        made_from = {
            "tokens": read_recipe_hash(self.folder.tokens),
            "speakers": list(self.vocabulary.speakers),
            "config": asdict(self.config),
            "seed": self.options.seed,
        }
        return Recipe("language_model", made_from)

    def train(self, budget: int, *, world: World, limits: Limits) -> bool:
        """Trains until the budget of tokens or a limit; returns True if the budget is used up."""
        folder, recipe = self.folder.language_model, self.recipe
        if world.is_main:
            claim(folder, recipe)
        trainee = LanguageModelTrainee(
            self.folder.tokens,
            self.vocabulary,
            self.config,
            self.options,
            world,
            code_vectors=torch.from_numpy(read_code_vectors(self.folder.encoder)),
        )
        load_newest(trainee, folder, made_from=recipe.hash)
        trainee.add_new_shards()
        num_processes, num_tokens = world.size, self.options.num_tokens
        plan = plan_steps(
            folder,
            budget,
            num_tokens_seen=trainee.num_tokens_seen,
            tokens_per_step=mean_tokens_per_step(trainee.dataset, num_tokens, num_processes),
        )
        return train_to_budget(
            trainee,
            folder,
            plan,
            made_from=recipe.hash,
            num_warm_up_steps=NUM_WARM_UP_STEPS,
            world=world,
            limits=limits,
            on_save=lambda _: trainee.evaluate(),
        )


def read_vocabulary(folder: TrainingFolder, speakers: tuple[str, ...]) -> Vocabulary:
    """Returns the vocabulary of a generation. Raises `TrainingError` without a frozen encoder."""
    if not folder.encoder.is_file():
        raise TrainingError(f"{folder.encoder} is missing: run the stage codes first")
    return Vocabulary(speakers, read_info(folder.encoder)["config"]["codebook_size"])
