"""Checks the teacher's speakers before hours of speech are made: how well each is understood."""

from collections.abc import Callable
from pathlib import Path

from training.ear.error_rate import WordErrors, count_errors
from training.ear.hear import Ear, transcribe
from training.ear.normaliser import words_of
from training.ear.recordings import key_of
from training.ear.rows import read_rows
from training.errors import TrainingError
from training.files import write_json
from training.folder import TrainingFolder
from training.progress import HEARD_SPEAKERS
from training.recipe import provenance
from training.shards import read_info, shard_numbers, shard_path

HEARD = "heard.jsonl"


def check_speakers(
    folder: TrainingFolder,
    load_ear: Callable[[], Ear],
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> dict[str, WordErrors]:
    """Prints the word error rate of each speaker; writes it to the training folder when complete.

    Raises `TrainingError` if there are no recordings.
    """
    paths = held_out_shards(folder.held_out)
    transcribe(paths, folder.held_out / HEARD, load_ear, is_stopped=is_stopped)
    heard = {row["key"]: str(row["heard"]) for row in read_rows(folder.held_out / HEARD)}
    totals = count_by_speaker(paths, heard)
    print_table(totals)
    rows = {
        speaker: {
            "word_error_rate": round(errors.rate, 4),
            "num_words": errors.num_words,
            "num_errors": errors.num_errors,
        }
        for speaker, errors in totals.items()
    }
    if not is_stopped():
        write_json(folder.root / HEARD_SPEAKERS, {"speakers": rows, **provenance()})
    return totals


def held_out_shards(folder: Path) -> list[Path]:
    """Returns the shards of the teacher's recordings. Raises `TrainingError` if there are none."""
    paths = [shard_path(folder, number) for number in shard_numbers(folder)]
    if not paths:
        raise TrainingError(
            f"{folder} has no recordings: run 'python -m training.speech' first, which makes them"
        )
    return paths


def count_by_speaker(paths: list[Path], heard: dict[str, str]) -> dict[str, WordErrors]:
    """Adds up the errors of each speaker over the recordings that were heard."""
    totals: dict[str, WordErrors] = {}
    for path in paths:
        for index, utterance in enumerate(read_info(path)["utterances"]):
            key = key_of(path, index)
            if key not in heard:
                continue
            errors = count_errors(words_of(utterance["text"]), words_of(heard[key]))
            speaker = utterance["speaker"]
            totals[speaker] = totals.get(speaker, WordErrors()) + errors
    return totals


def print_table(totals: dict[str, WordErrors]) -> None:
    """Prints speaker, word error rate, words."""
    print("speaker     word error rate   words")
    rows = {**totals, "all": sum(totals.values(), WordErrors())}
    for speaker, errors in rows.items():
        print(f"{speaker:<12}{errors.rate:>15.4f}{errors.num_words:>8}", flush=True)
