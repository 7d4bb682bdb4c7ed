"""Tests of running stages and collecting their results."""

import subprocess
import sys

import pytest

from training.errors import TrainingError
from training.gpu_pack import remote
from training.gpu_pack.remote import follow, stage_arguments


def process(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code])


def test_results_are_collected_while_stages_run_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "COLLECT_EVERY_SEC", 0.0)
    monkeypatch.setattr(remote, "POLL_SEC", 0.001)
    stage = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    written = []

    def write() -> None:
        written.append(stage.poll())
        if len(written) == 3:
            stage.communicate(b"\n")

    follow({"decoder": stage}, write, is_stopped=lambda: False)
    assert written == [None, None, None, 0]


def test_a_failed_stage_is_one_line_after_the_results() -> None:
    written = []
    with pytest.raises(TrainingError, match="^decoder failed: the lines above say why$"):
        follow(
            {"decoder": process("exit(1)"), "language_model": process("")},
            lambda: written.append(1),
            is_stopped=lambda: False,
        )
    assert written == [1]


def test_a_request_to_stop_reaches_the_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "POLL_SEC", 0.001)
    stage = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with stage, pytest.raises(TrainingError):
        follow({"decoder": stage}, lambda: None, is_stopped=lambda: True)
    assert stage.returncode == -15


def test_the_language_model_has_a_batch_of_its_own() -> None:
    found = stage_arguments("language_model", 1.5, batch_tokens=1_300)
    assert found == ["--minutes=1.500", "--batch-tokens=1300"]
    assert stage_arguments("decoder", 1.5, batch_tokens=1_300) == ["--minutes=1.500"]
