"""What a rented GPU gives back: the newest states of each stage, in a few files."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.folder import TrainingFolder
from training.gpu_pack.layout import stage_folder
from training.gpu_pack.pieces import write_pieces
from training.keep.state_files import EXACT, ROUNDED_OPTIMIZERS, WEIGHTS, pack_state
from training.recipe import FILE
from training.states import finished_folder, newest_step, state_path
from training.trainer import read_newest

MAX_RESULT_BYTES = 60_000_000
"""Eight files of 15 MB are allowed; a rented machine may return 64 MiB in all."""

PLAN = "plan.json"
LOG = "log.jsonl"

STATE_NAME = re.compile(r"(language_model|decoder)/(cooled-\d{8}/)?step-\d{8}\.pt")


@dataclass(frozen=True, slots=True)
class Collected:
    """States by their path below the generation's folder, and the small files of the stages."""

    states: Mapping[str, Mapping[str, Any]]
    texts: Mapping[str, str]


def collect(folder: TrainingFolder, started_at: Mapping[str, int]) -> Collected:
    """Returns what was trained since the steps at which the stages started."""
    states: dict[str, Mapping[str, Any]] = {}
    texts: dict[str, str] = {}
    for stage, first_step in started_at.items():
        path = stage_folder(folder, stage)
        for source in {path, finished_folder(path)}:
            state = read_newest(source) if newest_step(source) > first_step else None
            if state is not None:
                name = state_path(Path(stage) / source.relative_to(path), int(state["step"]))
                states[name.as_posix()] = state
        for text in (FILE, PLAN, LOG):
            if (path / text).is_file():
                texts[f"{stage}/{text}"] = (path / text).read_text(encoding="utf-8")
    return Collected(states, texts)


def write_results(
    target: Path, collected: Collected, info: Mapping[str, Any], *, max_bytes: int
) -> str:
    """Writes the states as exactly as they fit; returns a line about them."""
    if not collected.states:
        return "no new state yet"
    for precision in (EXACT, ROUNDED_OPTIMIZERS, WEIGHTS):
        contents = {
            # The last part is never gone on from, so its optimizers are not needed.
            name: pack_state(state, WEIGHTS if "cooled-" in name else precision)
            for name, state in collected.states.items()
        }
        size = sum(map(len, contents.values()))
        if write_pieces(target, contents, {**info, "texts": collected.texts}, max_bytes=max_bytes):
            return f"{', '.join(_titles(contents))}: {size / 1e6:.1f} MB, {precision.title}"
    return f"the states take {size / 1e6:.1f} MB, more than {max_bytes / 1e6:.1f} MB: not written"


def _titles(names: Iterable[str]) -> list[str]:
    return [name.removesuffix(".pt") for name in names]
