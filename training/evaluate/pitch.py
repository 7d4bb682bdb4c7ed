"""Pitch by autocorrelation: its median and its spread."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.evaluate.loudness import ACTIVE_DB, LOUDEST_SHARE, Wave, to_db

MIN_HZ, MAX_HZ = 60.0, 420.0
WINDOW_SEC, HOP_SEC = 0.04, 0.02
MIN_CORRELATION = 0.5
"""Below it a frame is not voiced. Higher loses creaky voices, lower takes noise for pitch."""

MIN_VOICED_FRAMES = 5
OCTAVE_SHARE = 0.9
"""The shortest period that correlates nearly as well as the best is the pitch, not its octave."""


@dataclass(frozen=True, slots=True)
class Pitch:
    """Median in Hz and spread in semitones (half of the range of 68 % of the frames)."""

    median_hz: float
    spread_semitones: float


def measure_pitch(wave: Wave, sample_rate: int) -> Pitch | None:
    """Returns the pitch of the voiced frames; None if there are too few."""
    pitches = track_pitch(wave, sample_rate)
    if pitches.size < MIN_VOICED_FRAMES:
        return None
    low, high = np.quantile(pitches, [0.16, 0.84])
    return Pitch(float(np.median(pitches)), float(6 * np.log2(high / low)))


def track_pitch(wave: Wave, sample_rate: int) -> npt.NDArray[np.float64]:
    """Returns the pitch in Hz of each voiced frame."""
    frames = _loud_frames(wave.astype(np.float64), sample_rate)
    if not frames.size:
        return np.zeros(0)
    correlation = _correlate(frames)
    shortest, longest = int(sample_rate / MAX_HZ), int(sample_rate / MIN_HZ)
    searched = correlation[:, shortest : longest + 1]
    best = searched.max(axis=1)
    # The first local maximum that is good enough.
    inner = searched[:, 1:-1]
    is_peak = (inner >= searched[:, :-2]) & (inner >= searched[:, 2:])
    is_good = is_peak & (inner >= OCTAVE_SHARE * best[:, None])
    lags = shortest + 1 + is_good.argmax(axis=1)
    is_voiced = (best > MIN_CORRELATION) & is_good.any(axis=1)
    rows = np.flatnonzero(is_voiced)
    return np.asarray(sample_rate / _refine(correlation, rows, lags[rows]))


def _loud_frames(wave: npt.NDArray[np.float64], sample_rate: int) -> npt.NDArray[np.float64]:
    window, hop = round(WINDOW_SEC * sample_rate), round(HOP_SEC * sample_rate)
    if wave.size < window:
        return np.zeros((0, window))
    frames = np.lib.stride_tricks.sliding_window_view(wave, window)[::hop]
    db = to_db(np.mean(frames**2, axis=1))
    loudest = np.quantile(db, LOUDEST_SHARE)
    return frames[(db > loudest + ACTIVE_DB) & (loudest > -60.0)]


def _correlate(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns autocorrelations, corrected for the window's: 1 at lag 0, near 1 at a period."""
    window: npt.NDArray[np.float64] = np.hanning(frames.shape[1]).astype(np.float64)
    size = 2 * frames.shape[1]

    def autocorrelate(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        power = np.abs(np.fft.rfft(values, size)) ** 2
        return np.asarray(np.fft.irfft(power, size)[..., : size // 4])

    centred = frames - frames.mean(axis=1, keepdims=True)
    raw, own = autocorrelate(centred * window), autocorrelate(window)
    return np.asarray(raw / np.maximum(raw[:, :1], 1e-12) / (own / own[0]))


def _refine(
    correlation: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64],
    lags: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Returns the lags between samples, by a parabola through each maximum."""
    before, at, after = (correlation[rows, lags + step] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + after, -1e-12)
    return np.asarray(lags + np.clip(0.5 * (before - after) / bend, -0.5, 0.5))
