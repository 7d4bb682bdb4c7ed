"""Makes the shards that are missing, of speech for training and of held-out speech."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from training.files import write_json
from training.folder import TrainingFolder
from training.progress import HELD_OUT_DONE
from training.shard_header import read_header
from training.shards import shard_path
from training.speech.begun import BegunShard
from training.speech.recording import Cast, TextEntry, even_pace, varied_pace
from training.speech.text_files import read_held_out, read_text_shard

UTTERANCES_PER_FILE = 10
"""Of held-out speech: one of each kind, so that every part of it has all kinds."""


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


def held_out_tasks(
    folder: TrainingFolder, share: Share, *, num_judged: int, texts_made_from: str
) -> list[Task]:
    """Returns the worker's files of held-out speech that are missing or cut.

    `num_judged` utterances are needed; files are always whole, so that more can follow.
    """
    utterances = read_held_out(folder.texts, made_from=texts_made_from)

    def task(number: int) -> Task:
        part = utterances[number * UTTERANCES_PER_FILE :][:UTTERANCES_PER_FILE]
        entries = [{**each, "speaker": name} for each in part for name in each["speakers"]]
        return Task(held_out_path(folder, number), lambda: [*entries], even_pace)

    numbers = range(ceil(min(num_judged, len(utterances)) / UTTERANCES_PER_FILE))
    return [each for each in map(task, share.of(numbers)) if read_header(each.path) is None]


def held_out_path(folder: TrainingFolder, number: int) -> Path:
    return shard_path(folder.held_out, number)


def run_tasks(
    tasks: Iterable[Task],
    cast: Cast,
    *,
    made_from: str,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Makes shards, one after the other. Prints a line for each."""
    for task in tasks:
        start = clock()
        begun = BegunShard(task.path, made_from)
        recording = begun.finish(task.entries(), cast, task.pace, clock)
        taken_sec = clock() - start
        print(
            f"{task.path.parent.name} {task.path.stem}: {recording.duration_sec:.1f} s of speech, "
            f"{recording.num_skipped} skipped, {recording.duration_sec / taken_sec:.2f} times "
            "real time",
            flush=True,
        )


def finish_held_out(
    folder: TrainingFolder, *, num_judged: int, made_from: str, texts_made_from: str
) -> bool:
    """Records how many held-out utterances there are if every file is there."""
    if held_out_tasks(folder, Share(), num_judged=num_judged, texts_made_from=texts_made_from):
        return False
    record = {"num_utterances": num_judged, "made_from": made_from}
    write_json(folder.held_out / HELD_OUT_DONE, record)
    return True
