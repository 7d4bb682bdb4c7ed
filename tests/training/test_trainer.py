import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.tiny_trainee import TinyTrainee
from training import trainer
from training.errors import TrainingError
from training.settings import ROOT
from training.states import (
    Plan,
    cooled_folder,
    finished_folder,
    newest_step,
    num_steps_done,
    read_plan,
    saved_states,
)
from training.trainer import Limits, Schedule, read_newest, save, train, train_to_budget

CONSTANT = Schedule()


def run(folder: Path, until_step: int, *, made_from: str = "abc") -> TinyTrainee:
    trainee = TinyTrainee()
    assert (
        train(trainee, folder, made_from=made_from, until_step=until_step, schedule=CONSTANT)
        == until_step
    )
    return trainee


def test_steps_in_two_runs_equal_steps_in_one(tmp_path: Path) -> None:
    at_once = run(tmp_path / "one", 20)
    run(tmp_path / "two", 7)
    assert run(tmp_path / "two", 20).weights == at_once.weights


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    # Saves after every step and kills itself in step 12, as a power cut would.
    code = (
        "import os, signal, sys, pathlib\n"
        "from tests.training.tiny_trainee import TinyTrainee\n"
        "from training import trainer\n"
        "trainer.SAVE_EVERY_SEC = 0.0\n"
        "class Killed(TinyTrainee):\n"
        "    def train_step(self, step, scale):\n"
        "        if step == 12: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().train_step(step, scale)\n"
        "trainer.train(Killed(), pathlib.Path(sys.argv[1]), made_from='abc', until_step=20,\n"
        "              schedule=trainer.Schedule())\n"
    )
    done = subprocess.run((sys.executable, "-c", code, str(tmp_path / "two")), cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert newest_step(tmp_path / "two") == 12
    assert run(tmp_path / "two", 20).weights == run(tmp_path / "one", 20).weights


def test_a_cut_state_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainee = run(tmp_path, 5)
    train(trainee, tmp_path, made_from="abc", until_step=9, schedule=CONSTANT)
    expected = run(tmp_path / "other", 12).weights
    newest = saved_states(tmp_path)[0]
    whole = newest.read_bytes()
    for size in [0, len(whole) - 1, *random.Random(2).sample(range(1, len(whole)), 10)]:
        newest.write_bytes(whole[:size])
        found = read_newest(tmp_path)
        assert found is not None
        assert found["step"] == 5
    assert all("the state before it is used" in record.message for record in caplog.records)
    assert run(tmp_path, 12).weights == expected


def test_a_full_disk_ends_the_run_and_keeps_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, 5)

    def fail(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(TrainingError, match="No space left on device"):
            run(tmp_path, 9)
    assert [path.name for path in saved_states(tmp_path)] == ["step-00000005.pt"]
    assert run(tmp_path, 9).weights == run(tmp_path / "other", 9).weights


def test_two_states_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY_SEC", 0.0)
    run(tmp_path, 6)
    assert [path.name for path in saved_states(tmp_path)] == [
        "step-00000006.pt",
        "step-00000005.pt",
    ]


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    run(tmp_path, 3)
    with pytest.raises(TrainingError) as raised:
        run(tmp_path, 5, made_from="def")
    assert str(raised.value) == (
        f"{tmp_path} was trained on abc, and this is def: "
        "set TRAINING_DIR to another folder, or NEW_CODEC=1"
    )


def test_a_stop_request_saves(tmp_path: Path) -> None:
    answers = iter([False, False, True])
    limits = Limits(is_stopped=lambda: next(answers))
    trainee = TinyTrainee()
    step = train(trainee, tmp_path, made_from="abc", until_step=9, schedule=CONSTANT, limits=limits)
    assert step == newest_step(tmp_path) == 2


def test_a_deadline_in_the_past_makes_no_step(tmp_path: Path) -> None:
    limits = Limits(deadline=0.0)
    step = train(
        TinyTrainee(), tmp_path, made_from="abc", until_step=9, schedule=CONSTANT, limits=limits
    )
    assert step == 0
    assert saved_states(tmp_path) == []


def test_progress_is_the_mean_of_fifty_steps(tmp_path: Path) -> None:
    run(tmp_path, 120)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [50, 100]
    assert lines[0]["of"] == 120
    assert lines[0]["loss"] > lines[1]["loss"]


def test_what_is_measured_after_a_save_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY_SEC", 0.0)
    train(
        TinyTrainee(),
        tmp_path,
        made_from="abc",
        until_step=2,
        schedule=CONSTANT,
        on_save=lambda step: {"measured": 10.0 * step},
    )
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [{"step": 1, "measured": 10.0}, {"step": 2, "measured": 20.0}]


def test_the_learning_rate_rises_stays_and_falls() -> None:
    main = Schedule(num_warm_up_steps=4)
    assert [main.scale(step) for step in (0, 1, 3, 4, 1000)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    last = Schedule(fall_from=100, end=104)
    assert [last.scale(step) for step in (100, 101, 103, 104)] == [1.0, 0.75, 0.25, 0.0]


def budget(trainee: TinyTrainee, folder: Path, main_steps: int) -> bool:
    return train_to_budget(trainee, folder, Plan(main_steps, main_steps, 4), made_from="abc")


def test_a_raised_budget_goes_on_from_the_constant_part(tmp_path: Path) -> None:
    trainee = TinyTrainee()
    assert budget(trainee, tmp_path, 10)
    assert trainee.scales == [1.0] * 10 + [1.0, 0.75, 0.5, 0.25]
    assert finished_folder(tmp_path) == cooled_folder(tmp_path, 10)
    plan = read_plan(tmp_path)
    assert plan == Plan(10, 10, 4)
    assert num_steps_done(tmp_path, plan) == 14

    raised = TinyTrainee()
    assert budget(raised, tmp_path, 16)
    assert raised.scales == [1.0] * 6 + [1.0, 0.75, 0.5, 0.25]
    assert finished_folder(tmp_path) == cooled_folder(tmp_path, 16)
    assert not cooled_folder(tmp_path, 10).exists()
    at_once = TinyTrainee()
    assert budget(at_once, tmp_path / "at_once", 16)
    assert raised.weights == at_once.weights


def test_the_last_part_goes_on_where_it_was(tmp_path: Path) -> None:
    at_once = TinyTrainee()
    assert budget(at_once, tmp_path / "at_once", 6)
    answers = iter([False] * 8 + [True])
    limits = Limits(is_stopped=lambda: next(answers))
    plan = Plan(6, 6, 4)
    stopped = train_to_budget(TinyTrainee(), tmp_path, plan, made_from="abc", limits=limits)
    assert not stopped
    assert num_steps_done(tmp_path, plan) == 8
    assert finished_folder(tmp_path) == tmp_path
    rest = TinyTrainee()
    assert budget(rest, tmp_path, 6)
    assert rest.scales == [0.5, 0.25]
    assert rest.weights == at_once.weights


def test_a_lowered_budget_ends_where_the_main_part_is(tmp_path: Path) -> None:
    run(tmp_path, 12)
    trainee = TinyTrainee()
    assert budget(trainee, tmp_path, 6)
    assert trainee.scales == [1.0, 0.75, 0.5, 0.25]
    assert num_steps_done(tmp_path, Plan(6, 6, 4)) == 10
    assert finished_folder(tmp_path) == cooled_folder(tmp_path, 12)


def test_saving_changes_nothing(tmp_path: Path) -> None:
    trainee = TinyTrainee()
    before = trainee.weights
    save(trainee, tmp_path, 0, made_from="abc")
    assert trainee.weights == before
