"""Two real processes over gloo."""

import subprocess
import sys
from pathlib import Path

from tests.training.tiny_trainee import TinyTrainee
from training.processes import free_port
from training.settings import ROOT
from training.states import newest_step
from training.trainer import read_newest

CODE = """
import sys, pathlib
from tests.training.tiny_trainee import TinyTrainee
from training.distributed import open_world
from training.trainer import Schedule, train
rank, port, folder, steps = sys.argv[1:]
world = open_world(int(rank), 2, int(port))
train(TinyTrainee(world), pathlib.Path(folder), made_from="abc", until_step=int(steps),
      schedule=Schedule(), world=world)
"""


def run(folder: Path, until_step: int) -> None:
    port = str(free_port())
    commands = [
        (sys.executable, "-c", CODE, rank, port, str(folder), str(until_step)) for rank in "01"
    ]
    processes = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [process.wait() for process in processes] == [0, 0]


def test_two_processes_average_and_go_on_as_if_at_once(tmp_path: Path) -> None:
    run(tmp_path / "one", 6)
    run(tmp_path / "two", 2)
    run(tmp_path / "two", 6)
    states = [read_newest(tmp_path / name) for name in ("one", "two")]
    trainees = [TinyTrainee(), TinyTrainee()]
    for trainee, state in zip(trainees, states, strict=True):
        assert state is not None
        trainee.load_state_dict(state["state"])
    assert newest_step(tmp_path / "one") == 6
    assert trainees[0].weights == trainees[1].weights
    # The second process has other data, so the mean differs from one process's gradients.
    assert trainees[0].weights != TinyTrainee().weights
