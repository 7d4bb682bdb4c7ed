"""`bench --frontend` with a few streams for a fraction of a second."""

import argparse
import json

import pytest

from orpheus_server.bench.client.player import Piece
from orpheus_server.bench.offline import frontend
from orpheus_server.bench.offline.frontend import Pace


def test_the_last_line_is_one_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs in real time, so this takes a second; no time is asserted."""
    monkeypatch.setattr(frontend, "PACES", (Pace(4, 700.0),))
    monkeypatch.setattr(frontend, "SPEECH_SEC", 3.0)
    monkeypatch.setattr(frontend, "_RAMP_SEC", 0.05)
    monkeypatch.setattr(frontend, "_MEASURED_SEC", 0.2)
    monkeypatch.setattr(frontend, "_HAND_OFF_SEC", 0.1)
    assert frontend.run(argparse.Namespace(rounds=1, json=None)) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["benchmark"] == "frontend"
    (round_,) = document["rounds"]
    assert round_["pace"] == {"num_streams": 4, "tokens_per_sec": 700.0}
    assert round_["num_tokens"] > 0
    assert round_["cpu_us_per_token"] > 0


def test_a_player_with_a_buffer_starts_later() -> None:
    pieces = [Piece(1.0, 10), Piece(1.1, 10), Piece(1.6, 10)]
    assert frontend._buffered(pieces) == [Piece(1.4, 10), Piece(1.4, 10), Piece(1.6, 10)]
