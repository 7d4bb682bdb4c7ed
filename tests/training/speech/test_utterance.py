"""One utterance by a scripted teacher."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.training.speech.scripted_teacher import ScriptedTeacher, speakers, styles
from training.speech.loudness import TARGET_RMS, speech_level
from training.speech.teacher import SAMPLE_RATE
from training.speech.trimming import LEAD_SEC, TAIL_SEC
from training.speech.utterance import Utterance, speak

SYMBOLS = ["h", "ə", "l", "ˈoʊ", ",", "m", "ˈæ", "d", "."]
SPEAKER = replace(speakers()["tara"], pace=1.0)
STYLE = styles()["tara"]


def say(symbols: list[str], teacher: ScriptedTeacher | None = None) -> Utterance | None:
    return speak(symbols, teacher or ScriptedTeacher(), SPEAKER, STYLE)


def test_symbols_cover_the_samples() -> None:
    utterance = say(SYMBOLS)
    assert utterance is not None
    assert utterance.samples.dtype == np.int16
    assert len(utterance.bounds) == len(SYMBOLS) + 1
    assert utterance.bounds[0] == 0
    assert utterance.bounds[-1] == pytest.approx(len(utterance.samples) / SAMPLE_RATE, abs=1e-4)
    assert (np.diff(utterance.bounds) >= 0).all()


def test_times_are_those_of_the_characters() -> None:
    utterance = say(SYMBOLS)
    assert utterance is not None
    # A character lasts 0.1 s, a vowel with its stress 0.2 s, a comma with its blank 0.4 s.
    lengths = [0.1 + LEAD_SEC, 0.1, 0.1, 0.2, 0.4, 0.1, 0.2, 0.1, TAIL_SEC]
    assert np.diff(utterance.bounds) == pytest.approx(lengths, abs=0.011)


@pytest.mark.parametrize("amplitude", [0.3, 1.0, 4.0])
def test_equally_loud(amplitude: float) -> None:
    utterance = say(SYMBOLS, ScriptedTeacher(amplitude=amplitude))
    assert utterance is not None
    samples = utterance.samples.astype(np.float32) / np.float32(32767)
    level = speech_level(samples, sample_rate=SAMPLE_RATE)
    assert level == pytest.approx(TARGET_RMS, rel=0.02)


def test_resampling_keeps_times_and_rate() -> None:
    higher = replace(SPEAKER, resample=Fraction(27, 25))
    teacher = ScriptedTeacher()
    utterance = speak(SYMBOLS, teacher, higher, STYLE, pace=1.05)
    before = speak(SYMBOLS, ScriptedTeacher(), SPEAKER, STYLE, pace=1.05)
    assert utterance is not None
    assert before is not None
    ((text, pace),) = teacher.spoken
    assert text == "həlˈO, mˈæd."
    assert pace == pytest.approx(1.05 * 25 / 27)
    # The scripted teacher's frames are 25 ms.
    assert utterance.bounds == pytest.approx(before.bounds, abs=0.15)
    assert utterance.bounds[-1] == pytest.approx(len(utterance.samples) / SAMPLE_RATE, abs=1e-4)


@pytest.mark.parametrize(
    "symbols",
    [
        ["."],
        ["h", "ˈaɪ"],  # no stop at the end
        ["ʘ", "."],  # not in the teacher's alphabet
        ["a"] * 130 + ["."],  # 13 s
        ["a"] * 510 + ["."],  # more characters than the teacher takes
    ],
)
def test_unsuitable_utterances_are_skipped(symbols: list[str]) -> None:
    assert say(symbols) is None


@pytest.mark.parametrize("teacher", [ScriptedTeacher(amplitude=0), ScriptedTeacher(amplitude=1e-4)])
def test_silence_is_skipped(teacher: ScriptedTeacher) -> None:
    assert say(SYMBOLS, teacher) is None


def test_too_slow_speech_is_skipped() -> None:
    assert speak(["ˈaɪ", "."], ScriptedTeacher(), SPEAKER, STYLE, pace=0.1) is None
    assert speak(["ˈaɪ", "."], ScriptedTeacher(), SPEAKER, STYLE, pace=0.5) is not None
