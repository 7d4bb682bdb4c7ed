"""The result of an evaluation: one JSON, one table on the screen."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from training.evaluate.environment import stage_environment
from training.evaluate.identity import Identity
from training.evaluate.judging import Judged
from training.evaluate.sampling import Sampling
from training.evaluate.steps import find_steps
from training.evaluate.summary import ALL, Row, pace_of_voices, summarise
from training.recipe import provenance
from training.settings import TrainingSettings

Table = Mapping[str, Row]

SEED_RULE = "first 31 bits of SHA-256 of the item's key, plus the number of the generation"

SHOWN = (
    *("num_utterances", "word_error_rate", "picked_share", "loop_share", "runaway_share"),
    *("early_stop_share", "phonemes_per_sec", "speaker_share", "pitch_hz"),
    *("pitch_spread_semitones", "comma_pause_sec", "stop_pause_sec", "pause_noise_db"),
    *("clipped_start_share", "clipped_end_share", "attempts_per_chunk", "num_degraded_chunks"),
    "real_time_factor",
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All tables of one checkpoint. `teacher` is empty without the teacher's recordings."""

    checkpoint: str
    identity: Identity
    voices: Sequence[str]
    limit: int | None
    num_utterances: int
    """Held-out texts that were spoken."""
    teacher: Table
    raw: Mapping[Sampling, Table]
    sampling: Sampling
    served: Table
    long_text: Mapping[str, Row] = field(default_factory=dict)
    teacher_steps: Mapping[str, Row] = field(default_factory=dict)
    shortest: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The shortest good speech of each voice, for `speech.json`."""

    def to_json(self, settings: TrainingSettings) -> dict[str, Any]:
        return {
            "checkpoint": self.checkpoint,
            "hash": self.identity.hash,
            "files": dict(self.identity.files),
            "voices": list(self.voices),
            "limit": self.limit,
            "num_utterances": self.num_utterances,
            "sampling": {
                "temperature": self.sampling.temperature,
                "top_p": self.sampling.top_p,
            },
            "teacher": dict(self.teacher),
            "raw": {each.name: dict(table) for each, table in self.raw.items()},
            "served": dict(self.served),
            "long_text": dict(self.long_text),
            "teacher_steps": dict(self.teacher_steps),
            "shortest": dict(self.shortest),
            "seeds": SEED_RULE,
            "load_average": os.getloadavg()[0],
            **provenance(),
            "judge_versions": judge_versions(settings),
        }


def judge_versions(settings: TrainingSettings) -> dict[str, str]:
    """Returns the versions of what judges: the ear's environment, and pocketsphinx."""
    code = "import json, training.recipe as r; print(json.dumps(r.provenance()['versions']))"
    result = subprocess.run(
        [str(settings.teacher_python), "-c", code],
        capture_output=True,
        text=True,
        env=stage_environment(),
        check=False,
    )
    versions = json.loads(result.stdout) if result.returncode == 0 else {}
    return {**versions, "pocketsphinx": metadata.version("pocketsphinx")}


def steps_by_voice(judged: Sequence[Judged]) -> dict[str, Row]:
    """Returns the steps from recording to recording of each voice, with their row."""
    paces = pace_of_voices(judged)
    voices: dict[str, list[Judged]] = {}
    for each in judged:
        voices.setdefault(each.item.voice, []).append(each)
    return {
        voice: {
            **summarise(group, paces, None),
            **find_steps([each.measures for each in group]).to_json(),
        }
        for voice, group in voices.items()
    }


def format_table(evaluation: Evaluation) -> str:
    """Returns the row of all held-out utterances, a column for each way of speaking."""
    columns: dict[str, Table] = {"teacher": evaluation.teacher}
    columns |= {f"raw {each.name}": table for each, table in evaluation.raw.items()}
    columns[f"served {evaluation.sampling.name}"] = evaluation.served
    lines = [" " * 24 + "".join(f"{name:>16}" for name in columns)]
    for name in SHOWN:
        values = [table.get(ALL, {}).get(name) for table in columns.values()]
        if any(value is not None for value in values):
            cells = "".join(f"{'' if value is None else value:>16}" for value in values)
            lines.append(f"{name:<24}{cells}")
    return "\n".join(lines)
