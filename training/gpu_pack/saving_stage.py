"""`python -m training.gpu_pack.saving_stage STAGE …`: a stage that saves more often."""

import importlib
from collections.abc import Sequence

from training import trainer
from training.stage import run_stage

SAVE_EVERY_SEC = 45.0
"""Results are collected every minute."""


def main(arguments: Sequence[str]) -> None:
    trainer.SAVE_EVERY_SEC = SAVE_EVERY_SEC
    importlib.import_module(f"training.{arguments[0]}.__main__").main(arguments[1:])


if __name__ == "__main__":
    run_stage(main)
