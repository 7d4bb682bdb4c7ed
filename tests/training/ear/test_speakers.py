import json
from pathlib import Path

import numpy as np
import pytest

from training.ear.recordings import Recording
from training.ear.speakers import check_speakers
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.shards import Array, shard_path, write_shard


class DeafToLeo:
    """Hears the spoken words of the first speaker and half of the second's."""

    def hear(self, recording: Recording) -> str:
        return "It's four o'clock." if recording.key.endswith("/0") else "it is"


def write_held_out(folder: TrainingFolder) -> None:
    text = "It is 4:00."
    utterances = [{"speaker": name, "text": text} for name in ("tara", "leo")]
    arrays: dict[str, Array] = {
        "samples": np.ones(4, np.int16),
        "sample_ends": np.array([2, 4], np.int64),
    }
    info = {"utterances": utterances, "sample_rate": 24_000}
    write_shard(shard_path(folder.held_out, 0), arrays, info)


def test_writes_the_error_rate_of_each_speaker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = TrainingFolder(tmp_path)
    write_held_out(folder)
    totals = check_speakers(folder, DeafToLeo)
    assert totals["tara"].rate == 0
    assert totals["leo"].rate == 0.5
    written = json.loads((tmp_path / "speakers_heard.json").read_text())
    assert written["speakers"]["leo"] == {
        "word_error_rate": 0.5,
        "num_words": 4,
        "num_errors": 2,
    }
    assert written["versions"]["numpy"]
    assert capsys.readouterr().out.splitlines()[1:] == [
        "tara                 0.0000       4",
        "leo                  0.5000       4",
        "all                  0.2500       8",
    ]


def test_a_stopped_check_writes_no_result(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    write_held_out(folder)
    check_speakers(folder, DeafToLeo, is_stopped=lambda: True)
    assert not (tmp_path / "speakers_heard.json").exists()


def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no recordings: run 'python -m training\.speech'"):
        check_speakers(TrainingFolder(tmp_path), DeafToLeo)
