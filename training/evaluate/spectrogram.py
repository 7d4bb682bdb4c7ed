"""Spectrograms of the same text, one below the other, as an image."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from training.ear.recordings import Pcm
from training.evaluate.spoken import to_wave

WINDOW, HOP = 1024, 240
"""43 ms and 10 ms: a pixel is 10 ms wide and 23 Hz high."""

RANGE_DB = 60.0
TITLE_HEIGHT, PANEL_HEIGHT = 16, 256
"""The panel has half of the bins: up to 6 kHz, where speech is."""


def draw_spectrograms(path: Path, title: str, recordings: Mapping[str, Pcm]) -> None:
    """Writes a PNG with a panel for each recording."""
    panels = {name: spectrogram(samples) for name, samples in recordings.items()}
    width = max([*(panel.shape[1] for panel in panels.values()), 400])
    image = Image.new("L", (width, TITLE_HEIGHT + (TITLE_HEIGHT + PANEL_HEIGHT) * len(panels)), 255)
    draw = ImageDraw.Draw(image)
    # The built-in font has Latin letters only.
    draw.text((2, 2), title.encode("ascii", "replace").decode(), fill=0)
    top = TITLE_HEIGHT
    for name, panel in panels.items():
        draw.text((2, top + 2), name, fill=0)
        image.paste(Image.fromarray(panel), (0, top + TITLE_HEIGHT))
        top += TITLE_HEIGHT + PANEL_HEIGHT
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def spectrogram(samples: Pcm) -> np.typing.NDArray[np.uint8]:
    """Returns grey values [PANEL_HEIGHT, frames], dark where it is loud, low tones below."""
    wave = np.pad(to_wave(samples), (WINDOW // 2, WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2
    db = 10 * np.log10(power[:, :PANEL_HEIGHT] + 1e-9)
    share = np.clip((db - db.max() + RANGE_DB) / RANGE_DB, 0, 1)
    return np.asarray(255 * (1 - share.T[::-1]), np.uint8)
