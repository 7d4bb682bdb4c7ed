import json
from pathlib import Path

import pytest

from tests.training.evaluate.recorded import item, judged, measures
from training.evaluate import report
from training.evaluate.identity import Identity
from training.evaluate.report import Evaluation, format_table, steps_by_voice
from training.evaluate.sampling import Sampling
from training.settings import load_settings

MILD = Sampling(0.6, 0.9)
ROW = {"num_utterances": 2, "word_error_rate": 0.1}


def evaluation() -> Evaluation:
    return Evaluation(
        checkpoint="pocket",
        identity=Identity("ab12", {"model.safetensors": "cd34"}),
        voices=("rms", "slt"),
        limit=10,
        num_utterances=10,
        teacher={"all": {"num_utterances": 2, "word_error_rate": 0.02}},
        raw={MILD: {"all": {**ROW, "loop_share": 0.05}}},
        sampling=MILD,
        served={"all": {**ROW, "attempts_per_chunk": 1.2}},
    )


def test_the_json_states_what_the_result_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "judge_versions", lambda settings: {"faster-whisper": "1"})
    result = evaluation().to_json(load_settings({"TRAINING_DIR": str(tmp_path)}))
    json.dumps(result)
    assert set(result) == {
        *(
            "checkpoint",
            "hash",
            "files",
            "voices",
            "limit",
            "num_utterances",
            "sampling",
            "teacher",
            "raw",
        ),
        *("served", "long_text", "teacher_steps", "shortest", "seeds", "load_average", "versions"),
        *("commit", "processor", "judge_versions"),
    }
    assert result["sampling"] == {"temperature": 0.6, "top_p": 0.9}
    assert result["raw"]["0.6-0.9"]["all"]["loop_share"] == 0.05
    assert result["versions"]["torch"]


def test_the_table_has_a_column_for_each_way_of_speaking() -> None:
    lines = [line.split() for line in format_table(evaluation()).splitlines()]
    assert lines == [
        ["teacher", "raw", "0.6-0.9", "served", "0.6-0.9"],
        ["num_utterances", "2", "2", "2"],
        ["word_error_rate", "0.02", "0.1", "0.1"],
        ["loop_share", "0.05"],
        ["attempts_per_chunk", "1.2"],
    ]


def test_steps_are_those_of_each_voice() -> None:
    rows = steps_by_voice(
        [
            judged(item("held_out/0/tara"), sound=measures(level_db=-20.0)),
            judged(item("held_out/0/leo"), sound=measures(level_db=-40.0)),
            judged(item("held_out/1/tara"), sound=measures(level_db=-21.0)),
        ]
    )
    assert rows["tara"]["level_step_db"] == {"mean": 1.0, "largest": 1.0}
    assert rows["leo"]["num_steps"] == 0
    assert rows["tara"]["num_utterances"] == 2
