"""Two real processes over gloo."""

import subprocess
import sys
from pathlib import Path

from tests.training.tiny_trainee import TinyTrainee
from training.settings import ROOT
from training.states import newest_step
from training.trainer import read_newest

# Forks the pairs of processes, so that torch is imported once.
CODE = """
import os, pathlib, sys
from tests.training.tiny_trainee import TinyTrainee
from training.distributed import open_world
from training.processes import free_port
from training.trainer import Schedule, train

def run(folder, until_step):
    port = free_port()
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            world = open_world(rank, 2, port)
            train(TinyTrainee(world), folder, made_from="abc", until_step=until_step,
                  schedule=Schedule(), world=world)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]

folder = pathlib.Path(sys.argv[1])
run(folder / "one", 6)
run(folder / "two", 2)
run(folder / "two", 6)
"""


def test_two_processes_average_and_go_on_as_if_at_once(tmp_path: Path) -> None:
    subprocess.run((sys.executable, "-c", CODE, str(tmp_path)), cwd=ROOT, check=True)
    assert newest_step(tmp_path / "one") == 6
    trainees = []
    for name in ("one", "two"):
        state = read_newest(tmp_path / name)
        assert state is not None
        trainees.append(TinyTrainee())
        trainees[-1].load_state_dict(state["state"])
    assert trainees[0].weights == trainees[1].weights
    # The second process has other data, so the mean differs from one process's gradients.
    alone = TinyTrainee()
    for step in range(6):
        alone.train_step(step, 1.0)
    assert trainees[0].weights != alone.weights
