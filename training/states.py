"""Names of the files that hold a stage's state, and its plan. Standard library only."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from training.files import read_json, write_json

_NAME = re.compile(r"step-(\d{8})\.pt")
_COOLED = "cooled-"
_PLAN = "plan.json"

COOLDOWN_SHARE = 0.2
"""Share of a budget's steps that is made at a falling learning rate."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many steps a budget is: first at a constant learning rate, then at a falling one."""

    budget: float
    main_steps: int
    cooldown_steps: int

    @property
    def num_steps(self) -> int:
        return self.main_steps + self.cooldown_steps


def split_steps(num_steps: int) -> Plan:
    """Returns the plan of a budget of steps."""
    cooldown = int(num_steps * COOLDOWN_SHARE)
    return Plan(num_steps, num_steps - cooldown, cooldown)


def state_path(folder: Path, step: int) -> Path:
    """Returns the file of the state after a number of steps."""
    return folder / f"step-{step:08}.pt"


def saved_states(folder: Path) -> list[Path]:
    """Returns the files of states, the newest first."""
    return sorted((p for p in folder.glob("step-*.pt") if _NAME.fullmatch(p.name)), reverse=True)


def newest_step(folder: Path) -> int:
    """Returns the number of steps that the newest state has made, 0 without one."""
    for path in saved_states(folder):
        found = _NAME.fullmatch(path.name)
        assert found is not None, "saved_states returns only such files"
        return int(found[1])
    return 0


def cooled_folder(folder: Path, from_step: int) -> Path:
    """Returns where the last part lies that began after a number of steps."""
    return folder / f"{_COOLED}{from_step:08}"


def cooled_folders(folder: Path) -> list[Path]:
    """Returns all last parts that were begun, the newest first."""
    return sorted(folder.glob(f"{_COOLED}*"), reverse=True)


def write_plan(folder: Path, plan: Plan) -> None:
    write_json(folder / _PLAN, asdict(plan))


def read_plan(folder: Path) -> Plan | None:
    """Returns the plan of the stage's last turn; None if it has not begun."""
    path = folder / _PLAN
    return Plan(**read_json(path)) if path.is_file() else None


def num_steps_done(folder: Path, plan: Plan) -> int:
    """Returns the steps made of a plan, with those of its last part."""
    main = newest_step(folder)
    if main < plan.main_steps:
        return main
    cooled = newest_step(cooled_folder(folder, main)) - main
    return plan.main_steps + min(max(0, cooled), plan.cooldown_steps)


def finished_folder(folder: Path) -> Path:
    """Returns the folder with the state to use: of the newest complete last part, else the main."""
    plan = read_plan(folder)
    for cooled in cooled_folders(folder):
        start = int(cooled.name.removeprefix(_COOLED))
        if plan is not None and newest_step(cooled) >= start + plan.cooldown_steps:
            return cooled
    return folder
