from pathlib import Path

import pytest

from training.codes.__main__ import main as codes
from training.decoder.__main__ import main as decoder
from training.errors import TrainingError
from training.lock import hold_lock
from training.stage import StopRequest
from training.tokens.__main__ import main as tokens


@pytest.mark.parametrize("main", [codes, tokens, decoder], ids=["codes", "tokens", "decoder"])
def test_a_stage_does_not_write_beside_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: object
) -> None:
    assert callable(main)
    monkeypatch.setattr(StopRequest, "listen", lambda self: None)
    monkeypatch.setenv("TRAINING_DIR", str(tmp_path))
    with hold_lock(tmp_path), pytest.raises(TrainingError, match="is training in .* already"):
        main([])


def test_a_judge_runs_beside_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StopRequest, "listen", lambda self: None)
    monkeypatch.setenv("TRAINING_DIR", str(tmp_path))
    with hold_lock(tmp_path), pytest.raises(TrainingError, match="run the stage codes first"):
        decoder(["judge"])
