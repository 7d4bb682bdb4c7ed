"""`python -m training.codes`: trains encoder and quantizer on mels, then freezes them."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from training.codec.config import CodecConfig
from training.codec.frozen import MEL_HEAD, write_frozen, write_mel_head
from training.codec.segments import SpeechSegments
from training.codes.freezing import check_not_in_use, is_in_use
from training.codes.trainee import CodesRecipe, CodesTrainee
from training.distributed import World, open_world
from training.folder import TrainingFolder, current_folder
from training.recipe import Recipe, claim, read_recipe_hash
from training.settings import load_settings
from training.stage import StopRequest, add_process_arguments, deadline, run_stage
from training.states import Plan
from training.trainer import Limits, train_to_budget

logger = logging.getLogger(__name__)

COOLDOWN_SHARE = 0.2
"""Of the budget: the last part, with a falling learning rate."""

RESTART_SHARE = 0.6
"""Of the part before: unused codes are moved in this much of it at most."""


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.codes", description=__doc__)
    add_process_arguments(parser)
    arguments = parser.parse_args(argv)
    settings = load_settings()
    folder = current_folder(settings)
    if is_in_use(folder):
        logger.info("%s is in use: codes are not trained any further", folder.encoder)
        return
    stop = StopRequest()
    stop.listen()
    torch.set_num_threads(1)
    world = open_world(arguments.rank, arguments.world, arguments.port)
    train_codes(
        folder,
        CodecConfig(),
        CodesRecipe(),
        plan_steps(settings.codes_steps),
        world=world,
        limits=Limits(deadline(arguments.minutes), stop),
        is_compiled=settings.is_compiled,
    )


def plan_steps(num_steps: int) -> Plan:
    """Splits a budget into the main part and the last one."""
    cooldown = int(num_steps * COOLDOWN_SHARE)
    return Plan(num_steps, num_steps - cooldown, cooldown)


def train_codes(
    folder: TrainingFolder,
    config: CodecConfig,
    recipe: CodesRecipe,
    plan: Plan,
    *,
    world: World,
    limits: Limits,
    is_compiled: bool,
) -> bool:
    """Trains up to the budget and freezes the result; returns False if a limit came first."""
    speech = read_recipe_hash(folder.speech)
    made_from = Recipe(
        "codes", {"speech": speech, "config": config.to_json(), "recipe": asdict(recipe)}
    )
    if world.is_main:
        claim(folder.codes, made_from)
    restart_until = min(recipe.restart_until_step, int(plan.main_steps * RESTART_SHARE))
    trainee = CodesTrainee(
        config,
        replace(recipe, restart_until_step=restart_until),
        SpeechSegments(folder.speech, made_from=speech),
        world,
        is_compiled=is_compiled,
    )
    if not train_to_budget(
        trainee,
        folder.codes,
        plan,
        made_from=made_from.hash,
        num_warm_up_steps=recipe.num_warm_up_steps,
        world=world,
        limits=limits,
    ):
        return False
    if world.is_main:
        freeze(folder, config, trainee, made_from=made_from.hash)
    return True


def freeze(
    folder: TrainingFolder, config: CodecConfig, trainee: CodesTrainee, *, made_from: str
) -> Path:
    """Writes the encoder's file, and the mel head's beside it.

    Raises `TrainingError` if tokens or a decoder were made with the encoder that lies there.
    """
    check_not_in_use(folder)
    info = {"made_from": made_from}
    write_mel_head(folder.codes / MEL_HEAD, config, trainee.mel_head, info)
    write_frozen(folder.encoder, config, trainee.encoder, trainee.quantizer, info)
    logger.info("froze encoder and quantizer in %s", folder.encoder)
    return folder.encoder


if __name__ == "__main__":
    run_stage(main)
