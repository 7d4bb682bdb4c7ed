from pathlib import Path

import pytest

from training.server import environment_of


def test_a_server_has_no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "secret")
    monkeypatch.setenv("TTS_TEMPERATURE", "1.5")
    environment = environment_of(Path("/voice"), 4321)
    assert environment["TTS_MODEL_NAME"] == "/voice"
    assert (environment["HOST"], environment["PORT"]) == ("127.0.0.1", "4321")
    assert not {"API_KEYS", "TTS_TEMPERATURE", "TTS_MAX_ATTEMPTS"} & environment.keys()
    assert environment_of(Path("/voice"), 4321, 2) == {**environment, "TTS_MAX_ATTEMPTS": "2"}
