"""Tests of the command."""

from pathlib import Path

import pytest

from training.folder import TrainingFolder
from training.gpu_pack.__main__ import main
from training.gpu_pack.unpacking import check_pack


def test_pack_one_stage(
    trained: TrainingFolder,
    wheels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRAINING_DIR", str(trained.root))
    target = tmp_path / "gpu-pack"
    command = ["pack", "--folder", str(target), "--wheels", str(wheels), "--stage", "decoder"]
    main([*command, "--hours", "0.001", "--kbits", "24"])
    assert "speech: 0.00 h at 24 kbit/s" in capsys.readouterr().out
    assert check_pack(target)["stages"] == ["decoder"]
