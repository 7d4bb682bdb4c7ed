"""Codes, tokens and decoder at tiny sizes, and a program in which each is killed in the middle.

`python -m tests.training.decoder.killed_stages FOLDER` leaves what a power cut would leave.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tests.training.codec.speech import TINY, write_speech
from training import trainer
from training.codec.encoder import MelEncoder
from training.codec.frozen import write_frozen
from training.codec.quantizer import build_quantizer
from training.codes.__main__ import CodesStage
from training.codes.trainee import CodesRecipe, CodesTrainee
from training.decoder.__main__ import train_decoder
from training.decoder.trainee import DecoderRecipe, DecoderTrainee
from training.distributed import World
from training.folder import TrainingFolder
from training.recipe import Recipe, claim
from training.states import Plan
from training.tokens.__main__ import make_tokens
from training.trainer import Limits

PLAN = Plan(5, 4, 1)
KILLED_AT_STEP = 3
NUM_SHARDS = 3
DECODER_RECIPE = DecoderRecipe(
    batch_size=1,
    segment_frames=2,
    discriminator_width=2,
    discriminate_from_step=2,
    discriminator_warm_up_steps=2,
)
SPEECH = Recipe("speech", {"teacher": "made up"})


def prepare(root: Path) -> TrainingFolder:
    """Returns a folder with speech and a frozen encoder."""
    folder = TrainingFolder(root)
    claim(folder.speech, SPEECH)
    for number in range(NUM_SHARDS):
        write_speech(folder.speech, number, made_from=SPEECH.hash)
    return folder


def freeze(folder: TrainingFolder, seed: int = 0) -> None:
    """Freezes an untrained encoder."""
    torch.manual_seed(seed)
    encoder, quantizer = MelEncoder(TINY), build_quantizer(TINY)
    write_frozen(folder.encoder, TINY, encoder, quantizer, {"made_from": "hash"})


def run_codes(folder: TrainingFolder) -> None:
    recipe = CodesRecipe(batch_size=1, segment_frames=2, restart_every=2, num_warm_up_steps=2)
    CodesStage(folder, TINY, recipe, World()).train(PLAN, Limits(), is_compiled=False)


def run_tokens(folder: TrainingFolder) -> None:
    if not folder.encoder.exists():
        freeze(folder)
    make_tokens(folder, Limits())


def run_decoder(folder: TrainingFolder) -> None:
    if not folder.encoder.exists():
        freeze(folder)
    train_decoder(folder, DECODER_RECIPE, PLAN, world=World(), limits=Limits(), is_compiled=False)


STAGES: Mapping[str, Callable[[TrainingFolder], None]] = {
    "codes": run_codes,
    "tokens": run_tokens,
    "decoder": run_decoder,
}


def _kill_in_step(trainee: Any) -> None:
    train_step = trainee.train_step

    def killed(self: Any, step: int, scale: float) -> dict[str, float]:
        if step == KILLED_AT_STEP:
            os.kill(os.getpid(), signal.SIGKILL)
        metrics: dict[str, float] = train_step(self, step, scale)
        return metrics

    trainee.train_step = killed


def _kill_in_second_write(folder: TrainingFolder) -> None:
    def killed(_: Any) -> None:
        if (folder.tokens / "00000.safetensors").exists():
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, "fsync", killed)  # noqa: B010


def _run_killed(stage: str, folder: TrainingFolder) -> None:
    trainer.SAVE_EVERY_SEC = 0.0
    _kill_in_step(CodesTrainee)
    _kill_in_step(DecoderTrainee)
    if stage == "tokens":
        _kill_in_second_write(folder)
    STAGES[stage](folder)


def main(root: Path) -> None:
    """Runs each stage in a process of its own, which kills itself."""
    torch.set_num_threads(1)
    for stage in STAGES:
        folder = prepare(root / stage)
        # Nothing was computed in this process, which may fork for that reason.
        process = os.fork()
        if process == 0:
            _run_killed(stage, folder)
            os._exit(0)
        _, status = os.waitpid(process, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, stage


if __name__ == "__main__":
    main(Path(sys.argv[1]))
