from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluate.signals import RATE, tone
from training.ear.error_rate import WordErrors
from training.ear.recordings import Pcm
from training.evaluate import codec
from training.evaluate.codec import CodecRow, HeldOut, judge_codec, mel_distance
from training.evaluate.hearing import Heard
from training.evaluate.spoken import to_pcm
from training.settings import TrainingSettings, load_settings

SOUND = to_pcm(tone(150, 0.5))


def test_a_row_for_each_speaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hear_loud_ones(
        recordings: list[tuple[str, Pcm, str]], folder: Path, settings: TrainingSettings
    ) -> list[Heard]:
        return [
            Heard(key, "", WordErrors(10, 0, 0, 0 if np.abs(samples).max() > 5000 else 2))
            for key, samples, _ in recordings
        ]

    monkeypatch.setattr(codec, "hear", hear_loud_ones)
    recordings = [
        HeldOut("0", "tara", "One.", SOUND),
        HeldOut("1", "leo", "Two.", SOUND // 2),
        HeldOut("2", "tara", "Three.", SOUND),
    ]
    settings = load_settings({"TRAINING_DIR": str(tmp_path)})
    tara, leo = judge_codec(recordings, lambda samples: samples // 3, tmp_path, settings)
    assert (tara.speaker, tara.word_error_rate, tara.original_word_error_rate) == ("tara", 0.2, 0)
    assert leo == CodecRow("leo", 0.2, 0.2, leo.mel_distance)
    # A third of the amplitude is two log 3 less in all bands that are above the floor.
    assert 0 < tara.mel_distance < 2 * np.log(3)


def test_the_distance_of_equal_sounds_is_zero() -> None:
    assert mel_distance(SOUND, SOUND) == 0
    assert mel_distance(SOUND, SOUND[: RATE // 4]) < 0.01
    assert mel_distance(SOUND, np.zeros(0, np.int16)) == 0
