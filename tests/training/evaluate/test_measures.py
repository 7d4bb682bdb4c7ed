import json

import numpy as np
import pytest

from tests.training.evaluate.signals import RATE, join, silence, symbols_of, tone
from training.evaluate.measures import measure, measures_from_json
from training.evaluate.spoken import to_pcm

SYMBOLS = symbols_of(10, 10, marks=",.")


def test_measures_a_recording() -> None:
    wave = join(silence(0.1), tone(150, 1.0), silence(0.2), tone(150, 1.0), silence(0.1))
    found = measure(to_pcm(wave), RATE, SYMBOLS)
    assert (found.duration_sec, found.speech_sec, found.num_phonemes) == (2.4, 2.2, 20)
    assert found.pitch_hz == pytest.approx(150, abs=1)
    assert found.comma_sec == (0.2,)
    assert not found.is_start_clipped
    assert found.mel is not None
    assert measures_from_json(json.loads(json.dumps(found.to_json()))) == found


def test_measures_nothing_in_an_empty_recording() -> None:
    found = measure(np.zeros(0, np.int16), RATE, SYMBOLS)
    assert (found.duration_sec, found.speech_sec, found.pitch_hz, found.mel) == (0, 0, None, None)
    assert measures_from_json(found.to_json()) == found
