"""The training loop of every stage: it can be ended at any time and goes on exactly there."""

import io
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from training.distributed import World
from training.errors import TrainingError
from training.files import write_atomically
from training.states import (
    Plan,
    cooled_folder,
    cooled_folders,
    saved_states,
    state_path,
    write_plan,
)

logger = logging.getLogger(__name__)

SAVE_EVERY_SEC = 180.0
"""At most five minutes may be lost; a save takes seconds, and a busy machine may double a step."""

NUM_KEPT = 2
"""The newest state may be cut by a failing disk; the one before it then counts."""


class Trainee(Protocol):
    """A model that is being trained, with its optimizers and data.

    Everything random in a step is derived from the seed, the step and the rank, so that the state
    holds no generator and the same step always does the same.
    """

    def train_step(self, step: int, learning_rate_scale: float) -> dict[str, float]:
        """Makes one optimizer step and returns numbers to report."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state: tensors, numbers, strings, lists and dicts only."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the state."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate: rises at first, then is constant, so that a raised budget goes on.

    With `fall_from` it falls from that step to zero at the end: the last part, made from a copy.
    """

    num_warm_up_steps: int = 0
    fall_from: int | None = None
    end: int = 0

    def scale(self, step: int) -> float:
        if self.fall_from is not None and step >= self.fall_from:
            return max(0.0, (self.end - step) / (self.end - self.fall_from))
        return min(1.0, (step + 1) / max(1, self.num_warm_up_steps))


@dataclass(slots=True)
class Limits:
    """When a run ends before its budget: a time, or a request to stop."""

    deadline: float | None = None
    """As `time.monotonic()`."""
    is_stopped: Callable[[], bool] = field(default=lambda: False)

    def is_over(self) -> bool:
        return self.is_stopped() or (
            self.deadline is not None and time.monotonic() >= self.deadline
        )


def train_to_budget(
    trainee: Trainee,
    folder: Path,
    plan: Plan,
    *,
    made_from: str,
    num_warm_up_steps: int = 0,
    world: World | None = None,
    limits: Limits | None = None,
    on_save: Callable[[int], Mapping[str, float]] | None = None,
) -> bool:
    """Trains by the plan, its last part included; returns True when all of it is done.

    The last part is made in a folder of its own from a copy of the main state. Raising the budget
    continues from the main state, and the last part is made again.
    """
    world = world or World()
    if world.is_main:
        write_plan(folder, plan)
    run = partial(train, made_from=made_from, world=world, limits=limits, on_save=on_save)
    start = plan.main_steps
    step = run(trainee, folder, until_step=start, schedule=Schedule(num_warm_up_steps))
    if step < start:
        return False
    # After a lowered budget the main state is further than the plan: the last part starts there.
    start = step
    cooled, end = cooled_folder(folder, start), start + plan.cooldown_steps
    schedule = Schedule(fall_from=start, end=end)
    step = run(trainee, cooled, until_step=end, schedule=schedule, first_step=start)
    if step < end:
        return False
    if world.is_main:
        for other in cooled_folders(folder):
            if other != cooled:
                shutil.rmtree(other)
    return True


def train(
    trainee: Trainee,
    folder: Path,
    *,
    made_from: str,
    until_step: int,
    schedule: Schedule,
    world: World | None = None,
    limits: Limits | None = None,
    on_save: Callable[[int], Mapping[str, float]] | None = None,
    first_step: int = 0,
) -> int:
    """Trains from the newest state in `folder` to a step or a limit; returns the step reached.

    `made_from` is the hash of the inputs: a state with another one is refused. `on_save` is called
    by the main process after a save by the clock; what it returns is added to the log. Without a
    state in `folder`, the trainee is taken as it is and has made `first_step` steps.
    """
    world, limits = world or World(), limits or Limits()
    step = load_newest(trainee, folder, made_from=made_from, first_step=first_step)
    progress = Progress(folder / "log.jsonl", step)
    saved_step, saved_at = step, time.monotonic()
    while step < until_step and not world.agree(limits.is_over()):
        progress.add(trainee.train_step(step, schedule.scale(step)))
        step += 1
        if world.is_main and step % progress.every == 0:
            progress.report(step, until_step)
        if world.is_main and time.monotonic() - saved_at >= SAVE_EVERY_SEC:
            save(trainee, folder, step, made_from=made_from)
            if on_save is not None:
                progress.write({"step": step, **on_save(step)})
            saved_step, saved_at = step, time.monotonic()
    if world.is_main and step > saved_step:
        save(trainee, folder, step, made_from=made_from)
    return step


def save(trainee: Trainee, folder: Path, step: int, *, made_from: str) -> None:
    """Writes the state, and deletes all but the newest states."""
    buffer = io.BytesIO()
    torch.save({"step": step, "made_from": made_from, "state": trainee.state_dict()}, buffer)
    write_atomically(state_path(folder, step), buffer.getvalue())
    for path in saved_states(folder)[NUM_KEPT:]:
        path.unlink(missing_ok=True)


def load_newest(trainee: Trainee, folder: Path, *, made_from: str, first_step: int = 0) -> int:
    """Loads the newest complete state and returns its step; `first_step` if there is none.

    Raises `TrainingError` if the state was made from something else.
    """
    found = read_newest(folder)
    if found is None:
        return first_step
    if found["made_from"] != made_from:
        raise TrainingError(
            f"{folder} was trained on {found['made_from']}, and this is {made_from}: "
            "set TRAINING_DIR to another folder, or NEW_CODEC=1"
        )
    trainee.load_state_dict(found["state"])
    return int(found["step"])


def read_newest(folder: Path) -> dict[str, Any] | None:
    """Returns the newest complete state with its `step` and `made_from`; None without one."""
    for path in saved_states(folder):
        try:
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        # torch raises RuntimeError, EOFError, ValueError or pickle's errors for a cut file.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            logger.warning("%s cannot be read (%s); the state before it is used", path, reason)
            continue
        return found
    return None


class Progress:
    """Means of what the steps report, written to a log and to standard output."""

    every = 50

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        self._step = step
        self._sums: dict[str, float] = {}
        self._since = time.monotonic()

    def add(self, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def report(self, step: int, until_step: int) -> None:
        num_steps = step - self._step
        now = time.monotonic()
        step_sec = (now - self._since) / num_steps
        means = {name: round(total / num_steps, 4) for name, total in self._sums.items()}
        self.write({"step": step, "of": until_step, "step_sec": round(step_sec, 4), **means})
        self._step, self._since, self._sums = step, now, {}

    def write(self, record: Mapping[str, float]) -> None:
        line = json.dumps(dict(record))
        print(line, flush=True)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(f"{line}\n")
        except OSError as error:
            raise TrainingError(f"cannot write {self._path}: {error.strerror}") from error
