"""Tests of the command."""

from pathlib import Path

import pytest

from tests.training.keep.conftest import write_tokens, write_voice
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.keep.__main__ import main
from training.keep.folder import KeptFolder
from training.shards import shard_numbers


def test_keep_then_restore(
    folder: TrainingFolder,
    kept: KeptFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_tokens(folder, 3, size=400)
    write_voice(folder, seed=1, word_error_rate=0.2)
    monkeypatch.setenv("TRAINING_DIR", str(folder.root))
    main(["--folder", str(kept.root)])
    tokens, weights, size = capsys.readouterr().out.splitlines()
    assert tokens.startswith("tokens: 0.29 h in 1 new parts, 0.29 h of speech in 1 parts, 0.1")
    assert weights == "weights: word error rate 0.200, the first ones kept"
    assert size.endswith("of 25 MB")
    fresh = TrainingFolder(tmp_path / "fresh")
    monkeypatch.setenv("TRAINING_DIR", str(fresh.root))
    main(["restore", "--folder", str(kept.root)])
    assert capsys.readouterr().out.startswith(f"{fresh.root}: restored, 0.29 h of speech")
    assert shard_numbers(fresh.tokens) == [0, 1, 2, 3]


def test_before_the_encoder_is_frozen_nothing_is_kept(
    kept: KeptFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING_DIR", str(tmp_path / "none"))
    with pytest.raises(TrainingError, match="there is nothing to keep before tokens"):
        main(["--folder", str(kept.root)])
    assert not kept.root.exists()
