"""One utterance: from symbols to trimmed, equally loud samples and the times of the symbols."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.speech.alphabet import STOPS, WORD_MARK, to_characters
from training.speech.levels import measure_levels
from training.speech.loudness import equalise, speech_level, to_int16
from training.speech.resampling import raise_pitch
from training.speech.speakers import Speaker
from training.speech.styles import Style
from training.speech.teacher import MAX_CHARACTERS, SAMPLE_RATE, Teacher
from training.speech.timing import give_pauses_to_stops, symbol_bounds
from training.speech.trimming import TAIL_SEC, trim

MAX_SEC = 12.4
MIN_PHONEMES_PER_SEC, MAX_PHONEMES_PER_SEC = 1.5, 30.0
"""Outside of this the teacher has stumbled: sentences have 9 to 20, single words from 2."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """Samples, and `bounds` [symbols + 1] in seconds: they begin at 0 and end with the samples."""

    samples: npt.NDArray[np.int16]
    bounds: npt.NDArray[np.float32]


def speak(
    symbols: Sequence[str], teacher: Teacher, speaker: Speaker, style: Style, *, pace: float = 1.0
) -> Utterance | None:
    """Speaks symbols that end with a stop; None if they are unsuitable for training."""
    if len(symbols) < 2 or symbols[-1] not in STOPS:
        return None
    characters = to_characters(symbols, teacher.alphabet)
    if characters is None or len(characters.text) > MAX_CHARACTERS:
        return None
    row = style[len(characters.text) - 1]
    # Raising the pitch also shortens, so the teacher speaks slower by as much.
    teacher_pace = pace * speaker.pace / float(speaker.resample)
    spoken = teacher.speak(characters.text, row, pace=teacher_pace)
    samples = raise_pitch(spoken.samples, speaker.resample)
    bounds = symbol_bounds(spoken.character_ends, characters.owners) / float(speaker.resample)

    level = speech_level(samples, sample_rate=SAMPLE_RATE)
    if not level > 0:
        return None
    levels = measure_levels(samples, speech_level=level, sample_rate=SAMPLE_RATE)
    bounds = give_pauses_to_stops(bounds, symbols, levels, sample_rate=SAMPLE_RATE)
    samples, bounds = trim(samples, bounds, levels, sample_rate=SAMPLE_RATE)
    duration_sec = len(samples) / SAMPLE_RATE
    num_phonemes = sum(symbol not in (*STOPS, WORD_MARK) for symbol in symbols)
    phonemes_per_sec = num_phonemes / (duration_sec - TAIL_SEC)
    is_plausible = MIN_PHONEMES_PER_SEC <= phonemes_per_sec <= MAX_PHONEMES_PER_SEC
    if duration_sec > MAX_SEC or not is_plausible:
        return None
    level = speech_level(samples, sample_rate=SAMPLE_RATE)
    loud = equalise(samples, level=level)
    return Utterance(to_int16(loud), (bounds / SAMPLE_RATE).astype(np.float32))
