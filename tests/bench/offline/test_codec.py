"""`bench --codec` with a much narrower codec."""

import argparse
import json
from pathlib import Path

import pytest

from orpheus_server.bench.offline import codec, codec_bench
from orpheus_server.checkpoints.published import SNAC_24KHZ


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = SNAC_24KHZ | {"decoder_dim": 32, "encoder_dim": 2}
    monkeypatch.setattr(codec_bench, "SNAC_24KHZ", narrow)
    # On busy cores two threads wait for each other at every layer.
    monkeypatch.setattr(codec_bench, "_THREADS", (1,))
    monkeypatch.setattr(codec_bench, "_HOPS", (1, 4))
    monkeypatch.setattr(codec_bench, "_BATCHES", (1, 2))


@pytest.mark.usefixtures("_small")
def test_the_last_line_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "codec.json"
    assert codec.run(argparse.Namespace(rounds=1, json=file)) == 0
    lines = capsys.readouterr().out.splitlines()
    document = json.loads(lines[-1])
    assert json.loads(file.read_text()) == document
    assert document["benchmark"] == "codec"
    assert [(each["num_threads"], each["hop"], each["batch"]) for each in document["levels"]] == [
        (1, hop, batch) for hop in (1, 4) for batch in (1, 2)
    ]
    # The reference loses the first frame and the last two.
    assert (document["reference_frames_lost"], document["utterance_frames"]) == (3, 24)
    assert document["ops_per_call"]["ours"] > 0
    assert document["reference_as_shipped_ms"] > 0
    # It decodes a window of four frames to play one, or of seven to play four.
    reference = {each["hop"]: each["reference_macs"] for each in document["levels"]}
    assert reference[1] / reference[4] == pytest.approx(4 / (7 / 4), rel=1e-3)


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = SNAC_24KHZ | {"decoder_dim": 32, "encoder_dim": 2}
    monkeypatch.setattr(codec_bench, "SNAC_24KHZ", narrow)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert codec.run(argparse.Namespace(rounds=1, json=None)) == 1
    assert "pip install orpheus-speech" in capsys.readouterr().err
