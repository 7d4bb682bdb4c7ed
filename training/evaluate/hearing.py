"""Whisper in the environment of teacher and ear, started from this one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.ear.error_rate import WordErrors, count_errors
from training.ear.normaliser import words_of
from training.ear.recordings import Pcm, key_of
from training.ear.rows import read_rows
from training.errors import TrainingError
from training.evaluate.environment import stage_environment
from training.files import hash_bytes
from training.processes import run_processes
from training.settings import TrainingSettings
from training.shards import shard_path, write_shard


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of a recording, and its errors."""

    key: str
    text: str
    errors: WordErrors


def transcribe_shards(
    shards: Sequence[Path],
    output: Path,
    settings: TrainingSettings,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Appends what is heard to `output`; shards that it knows cost nothing.

    Raises `TrainingError` if the environment is missing or the ear fails.
    """
    if not shards:
        return
    python = settings.teacher_python
    if not python.is_file():
        raise TrainingError(
            f"{python} is missing, the environment of teacher and ear: "
            "make train-setup, or set TRAINING_PYTHON"
        )
    command = [str(python), "-m", "training.ear", "hear", "--to", str(output), *map(str, shards)]
    run_processes(
        "ear",
        [command],
        log=output.with_suffix(".log"),
        environment=stage_environment(),
        max_memory_gib=settings.max_memory_gib,
        is_stopped=is_stopped,
    )


def hear(
    recordings: Sequence[tuple[str, Pcm, str]],
    folder: Path,
    settings: TrainingSettings,
    *,
    sample_rate: int = 24_000,
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[Heard]:
    """Hears recordings (key, samples, text) and returns a row for each that was heard.

    `folder` keeps them and their transcripts: the same recordings are not heard again.
    """
    if not recordings:
        return []
    samples = np.concatenate([each for _, each, _ in recordings])
    ends = np.cumsum([each.size for _, each, _ in recordings], dtype=np.int64)
    own = folder / hash_bytes(samples.tobytes() + ends.tobytes())
    shard, output = shard_path(own, 0), own / "heard.jsonl"
    if not shard.is_file():
        arrays = {"samples": samples, "sample_ends": ends}
        write_shard(shard, arrays, {"sample_rate": sample_rate})
    transcribe_shards([shard], output, settings, is_stopped=is_stopped)
    heard = {row["key"]: str(row["heard"]) for row in read_rows(output)}
    return [
        Heard(key, found, count_errors(words_of(text), words_of(found)))
        for index, (key, _, text) in enumerate(recordings)
        if (found := heard.get(key_of(shard, index))) is not None
    ]
