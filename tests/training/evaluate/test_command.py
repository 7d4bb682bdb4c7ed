"""The evaluation from end to end, over fakes of engine, server and ear."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from orpheus_server.runtime.serving_config import POCKET_FOLDER
from tests.training.evaluate.signals import symbols_of, tone
from training.ear.recordings import Pcm, read_recordings
from training.ear.rows import append_row, read_rows
from training.errors import TrainingError
from training.evaluate import checks, command, evaluation, raw_process
from training.evaluate.evaluation import Scope, Workplace
from training.evaluate.items import item_from_json
from training.evaluate.long_text import LONG_TEXT
from training.evaluate.sampling import Sampling
from training.evaluate.speech_service import Answer, Counts
from training.evaluate.spoken import Spoken, SpokenFolder, to_pcm
from training.files import read_json, write_json
from training.folder import current_folder
from training.settings import TrainingSettings, load_settings
from training.shards import shard_path, write_shard

SOUND = to_pcm(tone(150, 0.5))
NUM_TEXTS = 3


class FakeServer:
    """Counts its starts."""

    num_starts = 0

    def __init__(
        self, checkpoint: Path, log: Path, *, max_attempts: int, is_stopped: object
    ) -> None:
        assert max_attempts == 5

        self.port = 1

    def __enter__(self) -> Self:
        type(self).num_starts += 1
        return self

    def __exit__(self, *error: object) -> None:
        pass


class FakeService:
    """Answers with a tone."""

    def __init__(self, server: FakeServer) -> None:
        pass

    def speak(self, body: Mapping[str, Any]) -> Answer:
        return Answer("req", SOUND, 0.1)

    def counts_of(self, request_ids: list[str]) -> dict[str, Counts]:
        return {"req": Counts(1, 1, 0)}


class AnyPicker:
    """Picks the first choice."""

    def pick(self, samples: Pcm, rate: int, choices: Mapping[str, Sequence[str]]) -> str | None:
        return next(iter(choices))


def speak_plan(stage: str, commands: list[list[str]], **_: object) -> None:
    """Stands in for the process that speaks a plan: a tone for each item."""
    plan = read_json(Path(commands[0][-1]))
    items = [item_from_json(value) for value in plan["items"]]
    for _temperature, _top_p, path in plan["folders"]:
        folder = SpokenFolder(Path(path))
        result = {"faults": [], "num_frames": 8, "num_pieces": 1, "expected_sec": 0.8}
        folder.add([Spoken(each, SOUND, result) for each in folder.missing(items)])


def hear_yes(shards: Sequence[Path], output: Path) -> None:
    """Stands in for the ear: hears "yes" in each recording, once."""
    known = {row["key"] for row in read_rows(output)}
    for path in shards:
        for recording in read_recordings(path):
            if recording.key not in known:
                append_row(output, {"key": recording.key, "heard": "yes"})


def speak_long_text(
    port: int, text: str, voice: str, sampling: Sampling, symbols_of: Any
) -> list[Spoken]:
    assert text.count(".") == 2
    spoken = []
    for number in range(2):
        chunk = f"Chunk {number}."
        value = {
            **{"key": f"{LONG_TEXT}/{number}/{voice}", "collection": LONG_TEXT, "kind": "chunk"},
            **{"text": chunk, "symbols": symbols_of(chunk), "voice": voice},
        }
        spoken.append(Spoken(item_from_json(value), SOUND))
    return spoken


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingSettings:
    monkeypatch.setattr(raw_process, "run_processes", speak_plan)
    for module in (command, checks):
        monkeypatch.setattr(module, "Server", FakeServer)
        monkeypatch.setattr(module, "SpeechService", FakeService)
    monkeypatch.setattr(checks, "start_ear", lambda *_: hear_yes)
    monkeypatch.setattr(command, "speak_long_text", speak_long_text)
    monkeypatch.setattr(evaluation, "start_ear", lambda *_: hear_yes)
    monkeypatch.setattr(evaluation, "GrammarEar", AnyPicker)
    FakeServer.num_starts = 0
    utterances = [
        {
            **{"number": number, "kind": "statement", "text": f"Text {number}."},
            **{"symbols": symbols_of(5, marks="."), "speaker": "tara"},
            **{"speakers": ["tara", "leo"]},
        }
        for number in range(NUM_TEXTS)
    ]
    write_json(tmp_path / "texts" / "held_out.json", {"utterances": utterances})
    arrays = {
        "samples": np.concatenate([SOUND] * NUM_TEXTS),
        "sample_ends": SOUND.size * np.arange(1, NUM_TEXTS + 1),
    }
    info = {"utterances": utterances, "sample_rate": 24_000}
    write_shard(shard_path(tmp_path / "held_out", 0), arrays, info)
    environ = {"TRAINING_DIR": str(tmp_path), "TRAINING_PYTHON": "/bin/false"}
    return load_settings(environ)


def test_writes_tables_of_teacher_raw_and_served(settings: TrainingSettings) -> None:
    path = command.evaluate(POCKET_FOLDER, settings, Scope(2))
    assert path is not None
    assert path.name == "evaluation-2.json"
    result = json.loads(path.read_text())
    assert set(result["raw"]) == {"0.4-0.9", "0.6-0.9", "0.8-0.95"}
    # All are equally good, so the warmest is chosen.
    assert result["sampling"] == {"temperature": 0.8, "top_p": 0.95}
    assert result["num_utterances"] == 2
    assert result["voices"] == ["rms", "slt"]
    assert result["teacher"]["all"]["num_utterances"] == 2
    raw = result["raw"]["0.8-0.95"]
    assert {name: row["num_utterances"] for name, row in raw.items()} == {
        **{"all": 4, "voice rms": 2, "voice slt": 2, "kind statement": 4, "short": 2, "judge": 2}
    }
    assert raw["all"]["word_error_rate"] == 1.0
    assert result["served"]["all"]["attempts_per_chunk"] == 1.0
    assert set(result["long_text"]) == {"rms", "slt"}
    # The ear heard "yes" in all of them, so none is good.
    assert result["shortest"] == {}
    assert result["long_text"]["rms"]["level_step_db"] == {"mean": 0.0, "largest": 0.0}
    assert (path.parent / "evaluation-2.svg").read_text().startswith("<svg")
    assert len(list(path.parent.glob("spectrogram-*.png"))) == 2


def test_all_of_the_thirty_sentences_are_spoken_if_wanted(settings: TrainingSettings) -> None:
    # A tenth of the texts left three of the thirty sentences by which models are compared.
    path = command.evaluate(POCKET_FOLDER, settings, Scope(1, has_all_sentences=True))
    assert path is not None
    assert path.name == "evaluation-1-thirty.json"
    served = json.loads(path.read_text())["served"]
    counts = {name: served[name]["num_utterances"] for name in ("all", "judge", "short")}
    assert counts == {"all": 2, "judge": 60, "short": 1}


def test_goes_on_and_does_nothing_twice(
    settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = command.evaluate(POCKET_FOLDER, settings, Scope(1))
    second = command.evaluate(POCKET_FOLDER, settings, Scope(2))
    assert FakeServer.num_starts == 2
    monkeypatch.setattr(raw_process, "run_processes", lambda *_, **__: pytest.fail("spoken again"))
    assert command.evaluate(POCKET_FOLDER, settings, Scope(2)) == second
    # The lower limit is judged on its own items only.
    assert command.evaluate(POCKET_FOLDER, settings, Scope(1)) == first
    assert first is not None
    result = json.loads(first.read_text())
    assert result["served"]["all"]["num_utterances"] == 2
    assert FakeServer.num_starts == 2


def test_the_packaged_voice_is_evaluated_in_the_chain(
    settings: TrainingSettings, tmp_path: Path
) -> None:
    voice = tmp_path / "1" / "voice"
    voice.parent.mkdir()
    voice.symlink_to(POCKET_FOLDER)
    path = command.evaluate(voice.resolve(), settings, Scope(1))
    assert path is not None
    assert (tmp_path / "1" / "evaluation.json").read_bytes() == path.read_bytes()


def test_a_stop_writes_no_result(settings: TrainingSettings) -> None:
    assert command.evaluate(POCKET_FOLDER, settings, Scope(1), is_stopped=lambda: True) is None
    assert not list(settings.folder.rglob("evaluation*.json"))


def test_names_a_folder_that_is_not_a_checkpoint(
    settings: TrainingSettings, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="not a checkpoint"):
        command.evaluate(tmp_path, settings)


def test_lost_sentences_are_listed(
    settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "held_out_corpus", lambda _: None)
    texts = [("Yes!", "Yes, yes."), ("Yes.", "No.")]
    monkeypatch.setattr(checks, "several_sentences", lambda *_: texts)
    path = checks.check_sentences(POCKET_FOLDER, place_of(settings), 2)
    assert path is not None
    result = json.loads(path.read_text())
    # Two texts, two voices, three seeds.
    assert (result["num_texts"], result["num_chunks"], result["num_failed"]) == (12, 12, 0)
    assert [each["key"] for each in result["lost"]] == [
        f"sentences/{number}/{voice}/{seed}"
        for seed in range(3)
        for number in range(2)
        for voice in ("rms", "slt")
    ]
    printed = capsys.readouterr().out
    assert "lost: sentences/1/slt/2: No.\n  heard: yes\n" in printed
    assert checks.check_sentences(POCKET_FOLDER, place_of(settings), 2) == path
    assert FakeServer.num_starts == 1


def test_the_shortest_speech_is_measured(
    settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["Yes.", "No."] * 60
    monkeypatch.setattr(checks, "held_out_corpus", lambda _: None)
    monkeypatch.setattr(checks, "single_sentences", lambda *_: texts)
    path = checks.measure_shortest(POCKET_FOLDER, place_of(settings), 120)
    assert path is not None
    result = json.loads(path.read_text())
    assert result["num_good"] == {"rms": 60, "slt": 60}
    assert set(result["shortest"]) == {"rms", "slt"}
    assert "of 60 good sentences" in capsys.readouterr().out


def test_a_stop_ends_a_check(settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "held_out_corpus", lambda _: None)
    monkeypatch.setattr(checks, "several_sentences", lambda *_: [("Yes.", "No.")])
    monkeypatch.setattr(checks, "single_sentences", lambda *_: ["Yes."])
    place = place_of(settings, is_stopped=True)
    assert checks.check_sentences(POCKET_FOLDER, place, 1) is None
    assert checks.measure_shortest(POCKET_FOLDER, place, 1) is None
    assert not list(settings.folder.rglob("result.json"))


def place_of(settings: TrainingSettings, *, is_stopped: bool = False) -> Workplace:
    return Workplace(current_folder(settings), settings, lambda: is_stopped)
