"""The environment of the stages that an evaluation starts."""

import os

from training.settings import ROOT


def stage_environment() -> dict[str, str]:
    """Returns this process's environment, with the code of this folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
