"""`python -m training.tokens`: encodes every speech shard that has no token shard yet."""

import argparse
import logging
from collections.abc import Sequence

import torch

from training.codec.frozen import load_frozen
from training.errors import TrainingError
from training.folder import TrainingFolder, current_folder
from training.recipe import Recipe, claim, read_recipe_hash
from training.settings import load_settings
from training.shards import read_info, shard_numbers, shard_path
from training.stage import StopRequest, deadline, lock_for_stage, run_stage
from training.tokens.encoding import TAIL_SEC, encode_shard
from training.trainer import Limits

logger = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.tokens", description=__doc__)
    parser.add_argument("--minutes", type=float, help="end after this time (default: no limit)")
    arguments = parser.parse_args(argv)
    stop = StopRequest()
    stop.listen()
    torch.set_num_threads(1)
    settings, limits = load_settings(), Limits(deadline(arguments.minutes), stop)
    with lock_for_stage(settings.folder):
        make_tokens(current_folder(settings), limits)


def make_tokens(folder: TrainingFolder, limits: Limits) -> int:
    """Encodes what is not encoded yet, until a limit; returns the number of shards made.

    Raises `TrainingError` if the tokens that lie there were made with another encoder.
    """
    frozen = load_frozen(folder.encoder)
    speech = read_recipe_hash(folder.speech)
    claim(
        folder.tokens,
        Recipe("tokens", {"speech": speech, "encoder": frozen.identity, "tail_sec": TAIL_SEC}),
    )
    done = set(shard_numbers(folder.tokens))
    missing = [number for number in _speech_numbers(folder) if number not in done]
    num_made = 0
    for number in missing:
        if limits.is_over():
            break
        source = shard_path(folder.speech, number)
        if read_info(source)["made_from"] != speech:
            raise TrainingError(
                f"{source} was not made from {speech}: set TRAINING_DIR to another folder"
            )
        num_frames = encode_shard(source, shard_path(folder.tokens, number), frozen)
        num_made += 1
        logger.info("tokens %05d: %d frames", number, num_frames)
    return num_made


def _speech_numbers(folder: TrainingFolder) -> list[int]:
    """Returns the shards to encode. Cut ones are left to the stage that makes them."""
    return sorted(int(path.stem) for path in folder.speech.glob("[0-9]*.safetensors"))


if __name__ == "__main__":
    run_stage(main)
