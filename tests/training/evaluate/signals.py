"""Synthetic sounds with known pitch, pauses and level."""

from collections.abc import Sequence

import numpy as np

from training.evaluate.loudness import Wave

RATE = 24_000


def tone(hz: float, sec: float, *, peak: float = 0.3, num_harmonics: int = 6) -> Wave:
    """Returns a harmonic sound, as a voice has it."""
    time = np.arange(round(sec * RATE)) / RATE
    waves = [np.sin(2 * np.pi * hz * n * time) / n for n in range(1, num_harmonics + 1)]
    wave = np.sum(waves, axis=0)
    return np.asarray(peak * wave / np.abs(wave).max(), np.float32)


def silence(sec: float, *, noise: float = 0.0) -> Wave:
    """Returns silence, or noise of this deviation."""
    random = np.random.default_rng(1)
    return (noise * random.standard_normal(round(sec * RATE))).astype(np.float32)


def join(*parts: Wave) -> Wave:
    return np.concatenate(parts)


def symbols_of(*clauses: int, marks: Sequence[str]) -> list[str]:
    """Returns clauses of so many phonemes, each followed by its mark."""
    return [
        symbol
        for count, mark in zip(clauses, marks, strict=True)
        for symbol in (*("a" for _ in range(count)), mark)
    ]
