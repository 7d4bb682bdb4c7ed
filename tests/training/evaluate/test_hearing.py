import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.errors import TrainingError
from training.evaluate.hearing import hear, transcribe_shards
from training.settings import TrainingSettings, load_settings

# Stands in for the environment of the ear: hears the number of the recording.
EAR = """\
#!{python}
import json, sys
to = sys.argv[sys.argv.index("--to") + 1]
assert sys.argv[1:4] == ["-m", "training.ear", "hear"]
with open(to, "a") as file:
    for number in range(2):
        row = {{"key": f"00000/{{number}}", "heard": f"number {{number}}"}}
        file.write(json.dumps(row) + "\\n")
"""


@pytest.fixture
def settings(tmp_path: Path) -> TrainingSettings:
    python = tmp_path / "python"
    python.write_text(EAR.format(python=sys.executable))
    python.chmod(0o755)
    environ = {"TRAINING_DIR": str(tmp_path), "TRAINING_PYTHON": str(python)}
    return load_settings(environ)


def test_hears_recordings_in_the_other_environment(
    tmp_path: Path, settings: TrainingSettings
) -> None:
    recordings = [
        ("a", np.ones(3, np.int16), "Number 0."),
        ("b", np.ones(2, np.int16), "Number 7 here."),
    ]
    first, second = hear(recordings, tmp_path / "heard", settings)
    assert (first.key, first.text, first.errors.num_errors) == ("a", "number 0", 0)
    assert (second.key, second.errors.num_errors, second.errors.num_words) == ("b", 2, 3)
    assert hear([], tmp_path / "heard", settings) == []


def test_says_how_to_get_the_environment(tmp_path: Path, settings: TrainingSettings) -> None:
    missing = replace(settings, teacher_python=tmp_path / "none")
    with pytest.raises(TrainingError, match="make train-setup"):
        transcribe_shards([tmp_path / "00000.safetensors"], tmp_path / "heard.jsonl", missing)
    transcribe_shards([], tmp_path / "heard.jsonl", missing)
