from pathlib import Path

import numpy as np
from PIL import Image

from tests.training.evaluate.signals import tone
from training.evaluate.spectrogram import PANEL_HEIGHT, draw_spectrograms, spectrogram
from training.evaluate.spoken import to_pcm


def test_a_tone_is_a_dark_line_at_its_height() -> None:
    grey = spectrogram(to_pcm(tone(3000, 0.5, num_harmonics=1)))
    assert grey.shape[0] == PANEL_HEIGHT
    middle = grey[:, grey.shape[1] // 2]
    # 3000 Hz is bin 128 of 23.4 Hz, counted from below.
    assert int(middle.argmin()) == PANEL_HEIGHT - 1 - 128
    assert middle[10] == 255


def test_writes_a_panel_for_each_recording(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    recordings = {"teacher": to_pcm(tone(200, 0.5)), "raw": np.zeros(0, np.int16)}
    draw_spectrograms(path, "Grüße.", recordings)
    with Image.open(path) as image:
        assert image.size == (400, 16 + 2 * (16 + PANEL_HEIGHT))
