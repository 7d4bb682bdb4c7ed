from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.training.evaluate.recorded import item
from training.evaluate.sampling import Sampling
from training.evaluate.served import speak_served
from training.evaluate.speech_service import Answer, Counts
from training.evaluate.spoken import SpokenFolder

ITEMS = [item(f"held_out/{number}/tara", text=f"Text {number}.") for number in range(10)]
MILD = Sampling(0.6, 0.9)


class FakeService:
    """Answers each request with two samples, and fails at one text."""

    def __init__(self, *, failing: str = "") -> None:
        self.bodies: list[Mapping[str, Any]] = []
        self._failing = failing

    def speak(self, body: Mapping[str, Any]) -> Answer:
        self.bodies.append(body)
        if body["input"] == self._failing:
            return Answer("req", np.zeros(0, np.int16), 0.1, "no audio")
        return Answer(body["input"], np.ones(2, np.int16), 0.5)

    def counts_of(self, request_ids: list[str]) -> dict[str, Counts]:
        return {each: Counts(1, 2, 0) for each in request_ids if each != "req"}


def test_speaks_what_is_missing_with_fixed_seeds(tmp_path: Path) -> None:
    folder, service = SpokenFolder(tmp_path), FakeService()
    speak_served(service, ITEMS[:3], folder, MILD, lambda: False)  # type: ignore[arg-type]
    speak_served(service, ITEMS[:4], folder, MILD, lambda: False)  # type: ignore[arg-type]
    assert [body["input"] for body in service.bodies] == [each.text for each in ITEMS[:4]]
    assert service.bodies[0] == {
        "input": "Text 0.",
        "voice": "tara",
        "temperature": 0.6,
        "top_p": 0.9,
        "seed": ITEMS[0].seed,
    }
    assert folder.entries()[0].result == {
        **{"elapsed_sec": 0.5, "error": "", "num_chunks": 1, "num_attempts": 2, "num_degraded": 0}
    }


def test_a_failed_request_is_kept_as_silence(tmp_path: Path) -> None:
    folder, service = SpokenFolder(tmp_path), FakeService(failing="Text 1.")
    speak_served(service, ITEMS[:2], folder, MILD, lambda: False)  # type: ignore[arg-type]
    (_, first), (entry, second) = folder.recordings()
    assert (first.size, second.size) == (2, 0)
    assert entry.result == {"elapsed_sec": 0.1, "error": "no audio"}


def test_a_stop_loses_nothing(tmp_path: Path) -> None:
    folder, service = SpokenFolder(tmp_path), FakeService()
    speak_served(service, ITEMS, folder, MILD, lambda: len(service.bodies) == 9)  # type: ignore[arg-type]
    assert len(folder.entries()) == 9
    speak_served(service, ITEMS, folder, MILD, lambda: False)  # type: ignore[arg-type]
    assert folder.missing(ITEMS) == []
    assert len(service.bodies) == 10


def test_a_stop_before_a_batch_writes_no_shard(tmp_path: Path) -> None:
    folder, service = SpokenFolder(tmp_path), FakeService()
    speak_served(service, ITEMS[:8], folder, MILD, lambda: len(service.bodies) == 8)  # type: ignore[arg-type]
    assert len(folder.shards()) == 1
