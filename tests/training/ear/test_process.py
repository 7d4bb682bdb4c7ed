from dataclasses import replace
from pathlib import Path

import pytest

from training.ear.process import start_ear
from training.errors import TrainingError
from training.settings import TrainingSettings, load_settings


def _settings(tmp_path: Path, script: str) -> TrainingSettings:
    """Returns settings whose Python of the ear is a script."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return replace(load_settings({}), teacher_python=python)


def test_the_ear_gets_the_files_and_where_to_write(tmp_path: Path) -> None:
    hear = start_ear(_settings(tmp_path, f'echo "$@" > {tmp_path}/arguments'), lambda: False)
    hear([Path("a.safetensors"), Path("b.safetensors")], Path("heard.jsonl"))
    assert (tmp_path / "arguments").read_text() == (
        "-m training.ear hear a.safetensors b.safetensors --to heard.jsonl\n"
    )


def test_a_failed_ear_is_one_line(tmp_path: Path) -> None:
    hear = start_ear(_settings(tmp_path, "exit 3"), lambda: False)
    with pytest.raises(TrainingError, match="the ear ended with status 3"):
        hear([Path("a.safetensors")], tmp_path)


def test_a_stop_request_ends_the_ear_cleanly(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = (
        f"trap 'echo stopped > {tmp_path}/end; exit 0' TERM\ntouch {ready}\nwhile :; do :; done"
    )
    start_ear(_settings(tmp_path, script), ready.exists)([Path("a.safetensors")], tmp_path)
    assert (tmp_path / "end").read_text() == "stopped\n"


def test_a_missing_environment_names_the_command(tmp_path: Path) -> None:
    settings = replace(load_settings({}), teacher_python=tmp_path / "python")
    with pytest.raises(TrainingError, match="run 'make train-setup'"):
        start_ear(settings, lambda: False)([Path("a.safetensors")], tmp_path)


def test_nothing_to_hear_needs_no_ear(tmp_path: Path) -> None:
    settings = replace(load_settings({}), teacher_python=tmp_path / "python")
    start_ear(settings, lambda: False)([], tmp_path)
