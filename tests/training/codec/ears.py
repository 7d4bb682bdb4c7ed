"""A scripted ear, and held-out recordings of made-up speech."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.training.codec.speech import write_speech
from training.ear.recordings import read_recordings
from training.ear.rows import append_row
from training.folder import TrainingFolder
from training.recipe import Recipe, claim


class ScriptedEar:
    """Hears "Hi.", and in files whose name has a prefix something else."""

    def __init__(self, heard: Mapping[str, str] | None = None, *, stops_after: int = 1_000) -> None:
        self.paths: list[str] = []
        self._heard = heard or {}
        self._stops_after = stops_after

    def __call__(self, paths: Sequence[Path], output: Path) -> None:
        self.paths += [path.name for path in paths]
        num_heard = 0
        for path in paths:
            for recording in read_recordings(path):
                if num_heard == self._stops_after:
                    return
                num_heard += 1
                heard = self._heard.get(path.name.partition("-")[0], "Hi.")
                append_row(output, {"key": recording.key, "heard": heard})


def write_held_out(folder: TrainingFolder) -> None:
    """Writes two shards of two recordings each."""
    claim(folder.held_out, Recipe("held_out", {"teacher": "made up"}))
    for number in range(2):
        write_speech(folder.held_out, number, lengths=(5_000, 3_000))
