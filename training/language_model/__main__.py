"""`python -m training.language_model`: trains the language model on the tokens."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import torch

from training.distributed import open_world
from training.folder import current_folder
from training.language_model.model import ModelConfig
from training.language_model.stage import LanguageModelStage, read_vocabulary
from training.language_model.trainee import TraineeOptions
from training.settings import load_settings
from training.speech.speakers import load_speakers
from training.stage import StopRequest, add_process_arguments, deadline, lock_for_stage, run_stage
from training.trainer import Limits


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.language_model", description=__doc__)
    add_process_arguments(parser)
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=TraineeOptions().num_tokens,
        help="positions of a process in one step (default: %(default)s); a GPU wants 40,000",
    )
    arguments = parser.parse_args(argv)
    settings = load_settings()
    folder = current_folder(settings)
    stop = StopRequest()
    stop.listen()
    torch.set_num_threads(1)
    world = open_world(arguments.rank, arguments.world, arguments.port)
    speakers = tuple(speaker.name for speaker in load_speakers(settings.speakers_file))
    vocabulary = read_vocabulary(folder, speakers)
    options = replace(
        TraineeOptions(), num_tokens=arguments.batch_tokens, is_compiled=settings.is_compiled
    )
    stage = LanguageModelStage(folder, vocabulary, ModelConfig(vocabulary.size), options)
    limits = Limits(deadline(arguments.minutes), stop)
    with lock_for_stage(settings.folder, arguments.rank):
        stage.train(settings.language_model_tokens, world=world, limits=limits)


if __name__ == "__main__":
    run_stage(main)
