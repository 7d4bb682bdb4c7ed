"""A teacher that hums its characters; blanks and stops are silent."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.speech.speakers import Speaker, load_speakers
from training.speech.styles import Style
from training.speech.teacher import SAMPLE_RATE, Spoken

FRAME = 600
SPEAKERS = Path(__file__).parents[3] / "training" / "speech" / "speakers.json"


@dataclass
class ScriptedTeacher:
    """Hums 0.2 * `amplitude` at 150 Hz; padding and stops last 12 frames, other characters 4."""

    alphabet: Collection[str] = ".,!? AIOWYabcdefghijklmnopqrstuvwxyzæðŋɑɔəɛɜɡɪɹʃʊʌʒʤʧθˈˌ"
    amplitude: float = 1.0
    spoken: list[tuple[str, float]] = field(default_factory=list)

    def speak(self, text: str, style: npt.NDArray[np.float32], *, pace: float) -> Spoken:
        self.spoken.append((text, pace))
        frames = np.array([12, *(12 if each in ".,!?" else 4 for each in text), 12])
        frames = np.maximum(1, np.round(frames / pace).astype(int))
        ends = np.cumsum(frames) * FRAME
        loud = np.repeat([0, *(each not in ".,!? " for each in text), 0], frames * FRAME)
        hum = np.sin(2 * np.pi * 150 * np.arange(ends[-1]) / SAMPLE_RATE)
        # A little of the style, so that speakers differ.
        gain = 0.2 * self.amplitude * (1 + 0.01 * float(style[0]))
        return Spoken((gain * hum * loud).astype(np.float32), ends)


def speakers() -> dict[str, Speaker]:
    return {speaker.name: speaker for speaker in load_speakers(SPEAKERS)}


def styles() -> dict[str, Style]:
    return {name: np.full((510, 256), n, np.float32) for n, name in enumerate(speakers())}
