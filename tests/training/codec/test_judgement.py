import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.codec.ears import ScriptedEar, write_held_out
from training.codec.judgement import ALL, Judge, Judged
from training.codec.renderings import Rendered, Rendering
from training.ear.rows import append_row
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.recipe import read_recipe_hash

SAME = Judged("abc", 7, {"speech": "speech hash"})


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    folder = TrainingFolder(tmp_path)
    write_held_out(folder)
    return folder


def _judge(
    folder: TrainingFolder,
    ear: ScriptedEar,
    *,
    limit: int | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Judge:
    return Judge(folder, folder.codes, ear, limit, is_stopped)


def _rendering(name: str, identity: str = "abc", distance: float = 0.5) -> Rendering:
    def render(samples: torch.Tensor) -> Rendered:
        return Rendered((samples[0] * 32767).round().to(torch.int16).numpy(), distance)

    return Rendering(name, identity, render)


def _records(folder: TrainingFolder) -> list[dict[str, object]]:
    records: list[dict[str, object]] = json.loads((folder.codes / "judged.json").read_text())
    return records


def test_errors_and_distances_are_counted_by_speaker(
    folder: TrainingFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    ear = ScriptedEar({"codes": "High up."})
    table = _judge(folder, ear).judge(SAME, [_rendering("mels", ""), _rendering("codes")])
    assert table is not None
    assert list(table) == ["teacher", "mels", "codes"]
    assert table["teacher"]["tara"] == {
        "word_error_rate": 0.0,
        "num_words": 4,
        "num_errors": 0,
        "mel_distance": 0.0,
    }
    assert table["codes"][ALL] == {
        "word_error_rate": 2.0,
        "num_words": 4,
        "num_errors": 8,
        "mel_distance": 0.5,
    }
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["all", "0.0000", "0.0000", "2.0000", "0.5000", "4"]


def test_the_record_states_step_and_hashes(folder: TrainingFolder) -> None:
    table = _judge(folder, ScriptedEar()).judge(SAME, [_rendering("codes")])
    (record,) = _records(folder)
    assert record["step"] == 7
    assert record["identity"] == "abc"
    assert record["num_recordings"] == 4
    held_out = read_recipe_hash(folder.held_out)
    assert record["made_from"] == {"speech": "speech hash", "held_out": held_out}
    assert record["table"] == table
    assert record.keys() >= {"versions", "commit", "processor"}


def test_the_same_weights_are_not_heard_again(folder: TrainingFolder) -> None:
    ear = ScriptedEar()
    first = _judge(folder, ear).judge(SAME, [_rendering("codes")])
    num_files = len(ear.paths)
    assert _judge(folder, ear).judge(SAME, [_rendering("codes")]) == first
    assert len(ear.paths) == num_files
    assert len(_records(folder)) == 1


def test_other_weights_are_judged_beside_what_was_heard_before(folder: TrainingFolder) -> None:
    mels = _rendering("mels", "")
    _judge(folder, ScriptedEar()).judge(SAME, [mels, _rendering("codes")])
    ear = ScriptedEar()
    _judge(folder, ear).judge(Judged("def", 9, {}), [mels, _rendering("codes", "def")])
    assert ear.paths == ["codes-def-00000.safetensors", "codes-def-00001.safetensors"]
    assert [record["step"] for record in _records(folder)] == [7, 9]
    assert sorted(path.name for path in (folder.codes / "judging").glob("codes-*")) == ear.paths


def test_what_the_speakers_were_heard_to_say_is_used(folder: TrainingFolder) -> None:
    for key in ("00000/0", "00000/1", "00001/0", "00001/1"):
        append_row(folder.held_out / "heard.jsonl", {"key": key, "heard": "Hi."})
    ear = ScriptedEar()
    _judge(folder, ear).judge(SAME, [_rendering("codes")])
    assert ear.paths == ["codes-abc-00000.safetensors", "codes-abc-00001.safetensors"]


def test_a_limit_takes_the_first_recordings(folder: TrainingFolder) -> None:
    ear = ScriptedEar()
    table = _judge(folder, ear, limit=1).judge(SAME, [_rendering("codes")])
    assert table is not None
    assert table["codes"][ALL]["num_words"] == 1
    assert ear.paths == ["00000.safetensors", "codes-abc-00000.safetensors"]
    table = _judge(folder, ear, limit=3).judge(SAME, [_rendering("codes")])
    assert table is not None
    assert table["codes"][ALL]["num_words"] == 3
    assert [record["num_recordings"] for record in _records(folder)] == [1, 3]


def test_a_stopped_ear_goes_on_where_it_was(folder: TrainingFolder) -> None:
    assert _judge(folder, ScriptedEar(stops_after=3)).judge(SAME, [_rendering("codes")]) is None
    assert not (folder.codes / "judged.json").exists()
    ear = ScriptedEar()
    assert _judge(folder, ear).judge(SAME, [_rendering("codes")]) is not None
    assert "00000.safetensors" not in ear.paths


def test_a_stop_request_ends_the_rendering(folder: TrainingFolder) -> None:
    judge = _judge(folder, ScriptedEar(), is_stopped=lambda: True)
    assert judge.judge(SAME, [_rendering("codes")]) is None


def test_without_recordings_it_says_how_to_make_them(tmp_path: Path) -> None:
    judge = _judge(TrainingFolder(tmp_path), ScriptedEar())
    with pytest.raises(TrainingError, match="has no recordings: run"):
        judge.judge(SAME, [_rendering("codes")])
