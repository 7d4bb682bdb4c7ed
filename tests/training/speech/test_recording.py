"""The arrays of a shard."""

import numpy as np
import pytest

from tests.training.speech.scripted_teacher import ScriptedTeacher, speakers, styles
from training.errors import TrainingError
from training.speech.recording import (
    PACE_SPREAD,
    Cast,
    TextEntry,
    even_pace,
    record,
    varied_pace,
)
from training.speech.teacher import SAMPLE_RATE


def cast() -> Cast:
    return Cast(ScriptedTeacher(), speakers(), styles())


def entry(number: int, symbols: str, speaker: str = "tara") -> TextEntry:
    return {"number": number, "speaker": speaker, "kind": "x", "symbols": symbols.split()}


HELLO, UNKNOWN, YES = entry(0, "h ə l ˈoʊ ."), entry(1, "ʘ ."), entry(2, "j ˈɛ s !", "leo")


def test_utterances_follow_each_other() -> None:
    recording = record([HELLO, YES], cast(), pace=even_pace)
    samples, ends = recording.arrays["samples"], recording.arrays["sample_ends"]
    starts, symbol_ends = recording.arrays["symbol_starts"], recording.arrays["symbol_ends"]
    dtypes = [array.dtype for array in (samples, ends, starts, symbol_ends)]
    assert dtypes == ["int16", "int64", "float32", "float32"]
    assert ends[-1] == len(samples)
    assert len(starts) == len(symbol_ends) == 5 + 4
    assert starts[[0, 5]].tolist() == [0, 0]
    assert symbol_ends[[4, 8]] == pytest.approx(np.diff([0, *ends]) / SAMPLE_RATE, abs=1e-4)
    assert recording.duration_sec == len(samples) / SAMPLE_RATE


def test_unsuitable_utterances_are_counted() -> None:
    recording = record([HELLO, UNKNOWN, YES], cast(), pace=even_pace)
    info = recording.info("abc")
    assert info["utterances"] == [HELLO, YES]
    assert info["num_skipped"] == 1
    assert info["made_from"] == "abc"
    assert info["sample_rate"] == 24_000
    assert len(recording.arrays["sample_ends"]) == 2


def test_nothing_suitable_is_an_empty_shard() -> None:
    recording = record([UNKNOWN], cast(), pace=even_pace)
    assert [array.size for array in recording.arrays.values()] == [0, 0, 0, 0]
    assert recording.num_skipped == 1


def test_pace_is_a_function_of_the_number() -> None:
    paces = [varied_pace(entry(number, ".")) for number in range(100)]
    assert paces == [varied_pace(entry(number, ".", "leo")) for number in range(100)]
    assert 1 - PACE_SPREAD <= min(paces) < 0.95 < 1.05 < max(paces) <= 1 + PACE_SPREAD


def test_an_unknown_speaker_is_an_error() -> None:
    with pytest.raises(TrainingError, match="utterance 3 is for the speaker 'ava'"):
        record([entry(3, "j ˈɛ s .", "ava")], cast(), pace=even_pace)
