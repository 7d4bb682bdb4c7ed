"""`python -m training.decoder`: trains the codec's decoder on waveforms.

With `judge`, it judges the whole codec by ear instead.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

import torch

from training.codec.frozen import load_frozen
from training.codec.judgement import Judge
from training.codec.precision import best_device
from training.codec.segments import SpeechSegments
from training.decoder.judging import judge_decoder
from training.decoder.trainee import DecoderRecipe, DecoderTrainee
from training.distributed import World, open_world
from training.ear.process import start_ear
from training.folder import TrainingFolder, current_folder
from training.recipe import Recipe, claim, read_recipe_hash
from training.settings import load_settings
from training.stage import StopRequest, add_process_arguments, deadline, lock_for_stage, run_stage
from training.states import Plan, split_steps
from training.trainer import Limits, train_to_budget


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.decoder", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("train", "judge"), default="train")
    add_process_arguments(parser)
    parser.add_argument("--limit", type=int, help="of recordings to judge (default: all)")
    arguments = parser.parse_args(argv)
    settings = load_settings()
    folder = current_folder(settings)
    stop = StopRequest()
    stop.listen()
    torch.set_num_threads(1)
    if arguments.command == "judge":
        ear = start_ear(settings, stop)
        judge_decoder(folder, Judge(folder, folder.decoder, ear, arguments.limit, stop))
        return
    world = open_world(arguments.rank, arguments.world, arguments.port)
    with lock_for_stage(settings.folder, arguments.rank):
        train_decoder(
            folder,
            DecoderRecipe(),
            split_steps(settings.decoder_steps),
            world=world,
            limits=Limits(deadline(arguments.minutes), stop),
            is_compiled=settings.is_compiled,
        )


def train_decoder(
    folder: TrainingFolder,
    recipe: DecoderRecipe,
    plan: Plan,
    *,
    world: World,
    limits: Limits,
    is_compiled: bool,
) -> bool:
    """Trains up to the budget; returns False if a limit came first."""
    speech = read_recipe_hash(folder.speech)
    frozen = load_frozen(folder.encoder, torch.float32)
    made_from = Recipe(
        "decoder", {"speech": speech, "encoder": frozen.identity, "recipe": asdict(recipe)}
    )
    if world.is_main:
        claim(folder.decoder, made_from)
    trainee = DecoderTrainee(
        frozen,
        recipe,
        SpeechSegments(folder.speech, made_from=speech),
        world,
        is_compiled=is_compiled,
        device=best_device(),
    )
    return train_to_budget(
        trainee,
        folder.decoder,
        plan,
        made_from=made_from.hash,
        num_warm_up_steps=recipe.num_warm_up_steps,
        world=world,
        limits=limits,
    )


if __name__ == "__main__":
    run_stage(main)
