"""All measures of the sound of one recording."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.ear.recordings import Pcm
from training.evaluate.loudness import measure_levels
from training.evaluate.pauses import count_phonemes, measure_pauses
from training.evaluate.pitch import measure_pitch
from training.evaluate.spoken import to_wave
from training.evaluate.timbre import mel_statistics


@dataclass(frozen=True, slots=True)
class Measures:
    """None stands for what the recording does not have: a pitch, a long pause, any speech."""

    duration_sec: float
    speech_sec: float
    level_db: float
    num_phonemes: int
    pitch_hz: float | None
    pitch_spread: float | None
    comma_sec: tuple[float, ...]
    stop_sec: tuple[float, ...]
    floor_db: float | None
    is_start_clipped: bool
    is_end_clipped: bool
    mel: tuple[float, ...] | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(samples: Pcm, sample_rate: int, symbols: Sequence[str]) -> Measures:
    """Measures a recording of a text with these symbols."""
    wave = to_wave(samples)
    levels = measure_levels(wave, sample_rate)
    pitch = measure_pitch(wave, sample_rate)
    pauses = measure_pauses(symbols, levels)
    mel = mel_statistics(wave, sample_rate)
    return Measures(
        duration_sec=round(samples.size / sample_rate, 3),
        speech_sec=round(levels.speech_sec, 3),
        level_db=round(levels.speech_db, 2),
        num_phonemes=count_phonemes(symbols),
        pitch_hz=None if pitch is None else round(pitch.median_hz, 1),
        pitch_spread=None if pitch is None else round(pitch.spread_semitones, 2),
        comma_sec=pauses.comma_sec,
        stop_sec=pauses.stop_sec,
        floor_db=None if pauses.floor_db is None else round(pauses.floor_db, 1),
        is_start_clipped=levels.is_start_clipped,
        is_end_clipped=levels.is_end_clipped,
        mel=None if mel is None else tuple(round(float(each), 3) for each in mel),
    )


def measures_from_json(value: Mapping[str, Any]) -> Measures:
    """Reads what `Measures.to_json` wrote."""
    fields = dict(value)
    for name in ("comma_sec", "stop_sec", "mel"):
        fields[name] = None if fields[name] is None else tuple(fields[name])
    return Measures(**fields)
