"""Makes the shards that are missing, of speech for training and of held-out speech."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.files import write_json
from training.folder import TrainingFolder
from training.progress import HELD_OUT_DONE
from training.shard_header import read_header
from training.shards import shard_path, write_shard
from training.speech.recording import Cast, TextEntry, even_pace, record, varied_pace
from training.speech.text_files import read_held_out, read_text_shard

HELD_OUT_ENTRIES = 50
"""In a file: 25 utterances, each by its two speakers."""


@dataclass(frozen=True, slots=True)
class Task:
    """A shard that has to be made."""

    path: Path
    entries: Callable[[], list[TextEntry]]
    pace: Callable[[TextEntry], float]


@dataclass(frozen=True, slots=True)
class Share:
    """Which shards a worker makes: those whose number leaves its own number as remainder."""

    worker: int = 0
    workers: int = 1

    def of(self, numbers: Iterable[int]) -> Iterator[int]:
        return (number for number in numbers if number % self.workers == self.worker)


def speech_tasks(
    folder: TrainingFolder, numbers: Iterable[int], share: Share, *, texts_made_from: str
) -> list[Task]:
    """Returns the worker's shards of speech that are missing or cut."""

    def task(number: int) -> Task:
        return Task(
            shard_path(folder.speech, number),
            lambda: [*read_text_shard(folder.texts, number, made_from=texts_made_from)],
            varied_pace,
        )

    return [each for each in map(task, share.of(numbers)) if read_header(each.path) is None]


def held_out_tasks(folder: TrainingFolder, share: Share, *, texts_made_from: str) -> list[Task]:
    """Returns the worker's files of held-out speech that are missing or cut."""
    entries = read_held_out(folder.texts, made_from=texts_made_from)

    def task(number: int) -> Task:
        part = entries[number * HELD_OUT_ENTRIES :][:HELD_OUT_ENTRIES]
        return Task(held_out_path(folder, number), lambda: [*part], even_pace)

    numbers = range(-(-len(entries) // HELD_OUT_ENTRIES))
    return [each for each in map(task, share.of(numbers)) if read_header(each.path) is None]


def held_out_path(folder: TrainingFolder, number: int) -> Path:
    return folder.held_out / f"{number:03}.safetensors"


def run_tasks(
    tasks: Iterable[Task], cast: Cast, *, made_from: str, is_stopped: Callable[[], bool]
) -> None:
    """Makes shards, one after the other, until it is stopped. Prints a line for each."""
    for task in tasks:
        start = time.monotonic()
        recording = record(task.entries(), cast, pace=task.pace, is_stopped=is_stopped)
        if recording is None:
            return
        write_shard(task.path, recording.arrays, recording.info(made_from))
        taken_sec = time.monotonic() - start
        print(
            f"{task.path.parent.name} {task.path.stem}: {recording.duration_sec:.1f} s of speech, "
            f"{recording.num_skipped} skipped, {recording.duration_sec / taken_sec:.2f} times "
            "real time",
            flush=True,
        )


def finish_held_out(folder: TrainingFolder, *, made_from: str, texts_made_from: str) -> bool:
    """Marks the held-out speech as complete if every file is there, whoever made it."""
    if held_out_tasks(folder, Share(), texts_made_from=texts_made_from):
        return False
    write_json(folder.held_out / HELD_OUT_DONE, {"made_from": made_from})
    return True
