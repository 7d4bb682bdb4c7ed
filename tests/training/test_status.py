import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from training.files import write_json
from training.folder import TrainingFolder
from training.lock import hold_lock
from training.settings import ROOT, load_settings
from training.shards import shard_path, write_shard
from training.states import Plan, state_path, write_plan
from training.status import describe

MODULES = ("status", "stop", "preflight", "run", "__main__")


def test_an_empty_folder(tmp_path: Path) -> None:
    lines = describe(load_settings({"TRAINING_DIR": str(tmp_path)}))
    assert lines[0] == f"{tmp_path}, generation 1"
    assert lines[1] == "not running; next: texts --first 0 --count 0"
    assert lines[-2] == "  checkpoint     not packaged yet"


def test_what_is_done_and_how_long_the_rest_takes(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "TRAINING_DIR": str(tmp_path),
            "TRAINING_SPEECH_HOURS": "1",
            "TRAINING_CODES_STEPS": "2000",
        }
    )
    folder = TrainingFolder(tmp_path)
    for number in range(2):
        samples = np.zeros(24_000 * 90, dtype=np.int16)
        write_shard(shard_path(folder.speech, number), {"samples": samples}, {})
    turns = [
        {"work": "texts --first 0 --count 2", "seconds": 1.0},
        {"work": "speech --first 0 --count 2", "seconds": 60.0},
    ]
    (tmp_path / "turns.jsonl").write_text("".join(f"{json.dumps(turn)}\n" for turn in turns))
    # A budget of 1,000 steps, since doubled; a quarter of its steps is the last part.
    write_plan(folder.codes, Plan(1000, 1000, 200))
    state_path(folder.codes, 600).touch()
    log = {"step": 600, "of": 1000, "step_sec": 1.5}
    # A killed run leaves half a line.
    (folder.codes / "log.jsonl").write_text(f'{json.dumps(log)}\n{{"step": 65')
    lines = describe(settings)
    # 180 s of speech in 60 s: 3,420 s of speech more take 1,140 s.
    assert lines[2] == "  speech                 0.05 h of 1 h             5.0%   0.3 h left"
    # 1,800 of 2,400 steps of 1.5 s are left.
    assert lines[3] == "  codes                     600 of 2,400 steps    25.0%   0.8 h left"
    assert lines[4] == "  tokens               0 shards of 2               0.0%   unknown"
    assert lines[-1] == (
        "left at the measured speeds: 1.1 h, "
        "not counting tokens, decoder, language_model (not measured yet)"
    )


def test_what_goes_on(tmp_path: Path) -> None:
    settings = load_settings({"TRAINING_DIR": str(tmp_path)})
    with hold_lock(tmp_path):
        # The lock is held by another open file of this process, as by another process.
        assert describe(settings)[1] == f"process {os.getpid()} is starting"
        state = {"work": "decoder", "since": time.time() - 600, "generation": 1}
        write_json(tmp_path / "now.json", state)
        assert describe(settings)[1] == f"process {os.getpid()}: decoder, for 10 minutes"
    assert describe(settings)[1].startswith("not running")


def test_status_and_stop_need_no_environment() -> None:
    # -S leaves out all installed packages.
    code = ";".join(f"import training.{name}" for name in MODULES)
    done = subprocess.run((sys.executable, "-S", "-c", code), cwd=ROOT, capture_output=True)
    assert done.stderr == b""
