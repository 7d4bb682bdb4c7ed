"""`make train-status`: done, going on, and left. Standard library only: needs no environment."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.chain import Stage, next_work
from training.files import read_json
from training.folder import TrainingFolder, current_folder
from training.lock import lock_owner
from training.progress import Progress, read_progress
from training.run import STATE, TURNS
from training.settings import TrainingSettings, load_settings
from training.stage import run_stage
from training.states import num_steps_done, read_plan

NUM_RECENT = 12
"""Turns or log lines that a rate is measured over."""


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: what is done, of how much, and the seconds that the rest takes, if known."""

    stage: str
    done: str
    budget: str
    share: float
    left_sec: float | None

    def __str__(self) -> str:
        left = "done" if self.share >= 1 else "unknown"
        if self.share < 1 and self.left_sec is not None:
            left = f"{self.left_sec / 3600:.1f} h left"
        return f"  {self.stage:<15}{self.done:>14} of {self.budget:<14}{self.share:>6.1%}   {left}"


def describe(settings: TrainingSettings) -> list[str]:
    """Returns the lines of the status."""
    folder = current_folder(settings)
    progress = read_progress(folder, settings)
    rows = stage_rows(progress, folder, settings)
    known = [row.left_sec for row in rows if row.share < 1 and row.left_sec is not None]
    unknown = [row.stage for row in rows if row.share < 1 and row.left_sec is None]
    total = f"{sum(known) / 3600:.1f} h" if known else "nothing known"
    more = f", not counting {', '.join(unknown)} (not measured yet)" if unknown else ""
    return [
        f"{settings.folder}, generation {folder.generation}",
        _activity(progress, settings),
        *map(str, rows),
        f"  checkpoint     {_checkpoint(progress, folder)}",
        f"left at the measured speeds: {total}{more}",
    ]


def stage_rows(progress: Progress, folder: TrainingFolder, settings: TrainingSettings) -> list[Row]:
    """Returns a row for each stage that has a budget."""
    made_sec = sum(progress.speech_shards.values())
    left_hours = max(0.0, settings.speech_hours - made_sec / 3600)
    speed = _speech_speed(settings.folder / TURNS, progress)
    return [
        Row(
            "speech",
            f"{made_sec / 3600:.2f} h",
            f"{settings.speech_hours:g} h",
            min(1.0, made_sec / 3600 / settings.speech_hours),
            left_hours * 3600 / speed if speed else None,
        ),
        _trained(Stage.CODES, folder.codes, settings.codes_steps, progress.codes_share),
        Row(
            "tokens",
            f"{len(progress.token_shards)} shards",
            f"{len(progress.speech_shards)}",
            len(progress.token_shards) / max(1, len(progress.speech_shards)),
            None,
        ),
        _trained(Stage.DECODER, folder.decoder, settings.decoder_steps, progress.decoder_share),
        _trained(
            Stage.LANGUAGE_MODEL,
            folder.language_model,
            settings.language_model_tokens,
            progress.language_model_share,
        ),
    ]


def _trained(stage: Stage, folder: Path, budget: float, share: float) -> Row:
    plan = read_plan(folder)
    if plan is None:
        return Row(stage, "0", f"{budget:,}", 0.0, None)
    done = num_steps_done(folder, plan)
    num_steps = round(plan.num_steps * budget / plan.budget)
    logs = [folder / "log.jsonl", *sorted(folder.glob("cooled-*/log.jsonl"))]
    step_secs = [
        line["step_sec"] for path in logs for line in _last_lines(path) if "step_sec" in line
    ][-NUM_RECENT:]
    step_sec = sum(step_secs) / len(step_secs) if step_secs else None
    left = (1 - share) * num_steps * step_sec if step_sec is not None else None
    return Row(stage, f"{done:,}", f"{num_steps:,} steps", share, left)


def _speech_speed(turns: Path, progress: Progress) -> float | None:
    """Returns seconds of speech made per second of the last turns."""
    seconds = made = 0.0
    for turn in _last_lines(turns, prefix='{"work": "speech --first'):
        words = turn["work"].split()
        first, count = int(words[2]), int(words[4])
        made += sum(progress.speech_shards.get(n, 0.0) for n in range(first, first + count))
        seconds += turn["seconds"]
    return made / seconds if seconds and made else None


def _activity(progress: Progress, settings: TrainingSettings) -> str:
    owner = lock_owner(settings.folder)
    if owner is None:
        following = next_work(progress, settings)
        return f"not running; next: {following or 'nothing, all budgets are used up'}"
    if not (settings.folder / STATE).is_file():
        return f"process {owner} is starting"
    now = read_json(settings.folder / STATE)
    minutes = (time.time() - now["since"]) / 60
    return f"process {owner}: {now['work']}, for {minutes:.0f} minutes"


def _checkpoint(progress: Progress, folder: TrainingFolder) -> str:
    if not progress.voice_time:
        return "not packaged yet"
    if progress.evaluation_time < progress.models_time:
        return f"{folder.voice}, not evaluated"
    return f"{folder.voice}, evaluated"


def _last_lines(path: Path, *, prefix: str = "") -> list[dict[str, Any]]:
    """Returns the last JSON lines of a file that begin with `prefix`; [] without the file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        # A run that is killed leaves half a line.
        with suppress(ValueError):
            if line.startswith(prefix):
                found.append(json.loads(line))
    return found[-NUM_RECENT:]


def main(arguments: Sequence[str]) -> None:
    del arguments
    print("\n".join(describe(load_settings())))


if __name__ == "__main__":
    run_stage(main)
