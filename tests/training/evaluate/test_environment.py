import pytest

from training.evaluate.environment import stage_environment
from training.settings import ROOT


def test_stages_have_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_DIR", "/somewhere")
    environment = stage_environment()
    assert environment["TRAINING_DIR"] == "/somewhere"
    assert environment["PYTHONPATH"] == str(ROOT)
