"""Shards are made by workers, each once, whoever makes them."""

import json
from pathlib import Path

import pytest

from tests.training.speech.scripted_teacher import ScriptedTeacher, speakers, styles
from training.errors import TrainingError
from training.files import hash_file, read_json, write_json
from training.folder import TrainingFolder
from training.shards import read_shard, write_shard
from training.speech.begun import BegunShard
from training.speech.recording import Cast, Recording, TextEntry, varied_pace
from training.speech.worker import (
    Share,
    Task,
    finish_held_out,
    held_out_path,
    held_out_tasks,
    run_tasks,
    speech_tasks,
)

NUM_SHARDS = 3
SYMBOLS = ["h", "ə", "l", "ˈoʊ", "."]


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    """A folder with texts."""
    folder = TrainingFolder(tmp_path)
    names = list(speakers())
    for shard in range(NUM_SHARDS):
        utterances = [
            {"number": number, "speaker": names[number % 8], "symbols": SYMBOLS}
            for number in range(2 * shard, 2 * shard + 2)
        ]
        content = {"made_from": "texts", "utterances": utterances}
        write_json(folder.texts / f"{shard:05}.json", content)
    held_out = [
        {"number": number, "speaker": "tara", "speakers": ["tara", "leo"], "symbols": SYMBOLS}
        for number in range(25)
    ]
    write_json(folder.texts / "held_out.json", {"made_from": "texts", "utterances": held_out})
    return folder


def make(folder: TrainingFolder, share: Share, count: int = NUM_SHARDS) -> int:
    """Makes a worker's shards; returns how many utterances were spoken."""
    teacher = ScriptedTeacher()
    tasks = speech_tasks(folder, range(count), share, texts_made_from="texts")
    run_tasks(tasks, Cast(teacher, speakers(), styles()), made_from="speech")
    return len(teacher.spoken)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hash_file(path) for path in sorted(folder.glob("*.safetensors"))}


def test_the_same_shards_come_from_any_workers(folder: TrainingFolder) -> None:
    assert make(folder, Share()) == 2 * NUM_SHARDS
    alone = hashes(folder.speech)
    assert list(alone) == ["00000.safetensors", "00001.safetensors", "00002.safetensors"]
    for path in folder.speech.iterdir():
        path.unlink()
    assert make(folder, Share(0, 2)) == 4
    assert make(folder, Share(1, 2)) == 2
    assert hashes(folder.speech) == alone


def test_what_is_there_is_not_made_again(folder: TrainingFolder) -> None:
    make(folder, Share(), count=2)
    before = hashes(folder.speech)
    assert make(folder, Share()) == 2
    assert make(folder, Share()) == 0
    assert before.items() <= hashes(folder.speech).items()


@pytest.mark.parametrize("num_bytes", [0, 4, 100, -1])
def test_a_cut_shard_is_made_again(folder: TrainingFolder, num_bytes: int) -> None:
    make(folder, Share())
    before = hashes(folder.speech)
    path = folder.speech / "00001.safetensors"
    path.write_bytes(path.read_bytes()[:num_bytes])
    assert make(folder, Share()) == 2
    assert hashes(folder.speech) == before


def test_a_line_for_each_shard(folder: TrainingFolder, capsys: pytest.CaptureFixture[str]) -> None:
    make(folder, Share(), count=1)
    assert capsys.readouterr().out.startswith("speech 00000: 1.6 s of speech, 0 skipped, ")


def test_texts_of_another_recipe_are_refused(folder: TrainingFolder) -> None:
    make(folder, Share(), count=1)
    path = folder.texts / "00001.json"
    path.write_text(json.dumps({**read_json(path), "made_from": "other"}))
    with pytest.raises(TrainingError, match=r"00001\.json was made from other"):
        make(folder, Share())
    assert list(hashes(folder.speech)) == ["00000.safetensors"]


class Killed(Exception):
    """Stands for the end of the process."""


class SlowClock:
    """A clock that is a minute later whenever it is read, and ends the process at a time."""

    def __init__(self, killed_after: int) -> None:
        self._num_left = killed_after

    def __call__(self) -> float:
        self._num_left -= 1
        if self._num_left < 0:
            raise Killed
        return -60.0 * self._num_left


@pytest.mark.parametrize("killed_after", range(2, 20))
def test_a_killed_worker_goes_on_within_its_shard(tmp_path: Path, killed_after: int) -> None:
    # A shard took eight minutes on an overloaded machine, and a kill lost all of it.
    entries: list[TextEntry] = [
        {"number": number, "speaker": "tara", "symbols": SYMBOLS if number % 5 else ["ʘ", "."]}
        for number in range(12)
    ]
    cast = Cast(ScriptedTeacher(), speakers(), styles())
    whole, killed = (Task(tmp_path / name, lambda: [*entries], varied_pace) for name in "ab")
    run_tasks([whole], cast, made_from="speech")
    with pytest.raises(Killed):
        run_tasks([killed], cast, made_from="speech", clock=SlowClock(killed_after))
    begun = tmp_path / "begun-b"
    num_saved = BegunShard(killed.path, "speech").read().num_entries
    # The first and then every second utterance is followed by a save, which reads the clock too.
    assert num_saved == max(0, (killed_after - 1) // 3 * 2 - 1)
    teacher = ScriptedTeacher()
    run_tasks([killed], Cast(teacher, speakers(), styles()), made_from="speech")
    assert hash_file(killed.path) == hash_file(whole.path)
    assert len(teacher.spoken) == sum(entry["number"] % 5 > 0 for entry in entries[num_saved:])
    assert not begun.exists()


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_beginning_that_does_not_fit_is_made_again(tmp_path: Path, damage: str) -> None:
    begun = BegunShard(tmp_path / "00000.safetensors", "other" if damage == "other" else "speech")
    write_shard(begun.path, Recording.empty().arrays, Recording.empty().info(begun.made_from))
    if damage == "cut":
        begun.path.write_bytes(begun.path.read_bytes()[:-3])
    assert BegunShard(begun.shard, "speech").read().num_entries == 0


def make_held_out(folder: TrainingFolder, share: Share, num_judged: int = 25) -> list[Path]:
    """Makes a worker's files of held-out speech; returns them."""
    tasks = held_out_tasks(folder, share, num_judged=num_judged, texts_made_from="texts")
    run_tasks(tasks, Cast(ScriptedTeacher(), speakers(), styles()), made_from="speech")
    return [task.path for task in tasks]


def finish(folder: TrainingFolder) -> bool:
    return finish_held_out(folder, num_judged=25, made_from="speech", texts_made_from="texts")


def test_held_out_speech_goes_on_file_by_file(folder: TrainingFolder) -> None:
    paths = [held_out_path(folder, number) for number in range(3)]
    assert make_held_out(folder, Share(), num_judged=10) == paths[:1]
    assert make_held_out(folder, Share(1, 2)) == paths[1:2]
    assert not finish(folder)
    assert make_held_out(folder, Share(0, 2)) == paths[2:]
    assert finish(folder)
    assert read_json(folder.held_out / "complete.json")["num_utterances"] == 25


def test_each_held_out_utterance_is_spoken_by_both_speakers(folder: TrainingFolder) -> None:
    make_held_out(folder, Share())
    arrays, info = read_shard(held_out_path(folder, 2))
    numbers = [utterance["number"] for utterance in info["utterances"]]
    assert numbers == [20, 20, 21, 21, 22, 22, 23, 23, 24, 24]
    assert [utterance["speaker"] for utterance in info["utterances"]] == ["tara", "leo"] * 5
    assert len(arrays["sample_ends"]) == 10


def test_held_out_speech_has_an_even_pace(folder: TrainingFolder) -> None:
    teacher = ScriptedTeacher()
    tasks = held_out_tasks(folder, Share(), num_judged=10, texts_made_from="texts")
    run_tasks(tasks, Cast(teacher, speakers(), styles()), made_from="speech")
    assert [pace for _, pace in teacher.spoken] == [0.95, 1.0] * 10
