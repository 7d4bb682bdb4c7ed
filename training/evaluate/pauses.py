"""Pauses at commas and full stops, found without an alignment: by where they are expected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluate.loudness import HOP_SEC, MIN_DB, Levels, to_db

STOPS = frozenset(".!?")
MARKS = frozenset((*STOPS, ",", "_"))
"""Symbols that are not phonemes."""

MIN_PAUSE_SEC = 0.06
"""A shorter silence is the closure of a consonant."""

MAX_SHIFT_SEC = 0.4
"""How far from its expected place a pause may be. Less misses pauses where the pace changes; more
takes the pause of a neighbouring mark."""

MIN_FLOOR_SEC, FLOOR_EDGE_SEC = 0.12, 0.04
"""Only a long pause has a floor: its edges are the ends of words."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds of the pause at each comma and each full stop inside the utterance, 0 without one.

    `floor_db` is the level in the pauses relative to the speech; None if none is long enough.
    """

    comma_sec: tuple[float, ...]
    stop_sec: tuple[float, ...]
    floor_db: float | None


@dataclass(frozen=True, slots=True)
class Silence:
    """A run of silent frames, and how much sound there was before it."""

    start: int
    num_frames: int
    sound_before_sec: float


def count_phonemes(symbols: Sequence[str]) -> int:
    """Returns the number of symbols that are sounds."""
    return sum(symbol not in MARKS for symbol in symbols)


def measure_pauses(symbols: Sequence[str], levels: Levels) -> Pauses:
    """Assigns the silences of a recording to the marks of its text.

    A mark's place is its share of the phonemes, counted in time of sound alone. Of the silences
    around it the longest one is its pause; each belongs to one mark.
    """
    silences = find_silences(levels)
    sound_sec = sum(levels.is_active) * HOP_SEC
    num_phonemes = max(1, count_phonemes(symbols))
    commas: list[float] = []
    stops: list[float] = []
    floors: list[float] = []
    next_silence = 0
    for place, symbol in _inner_marks(symbols):
        expected_sec = place / num_phonemes * sound_sec
        near = [
            index
            for index, silence in enumerate(silences)
            if index >= next_silence
            and abs(silence.sound_before_sec - expected_sec) <= MAX_SHIFT_SEC
        ]
        found = max(near, key=lambda index: silences[index].num_frames, default=None)
        pause_sec = 0.0
        if found is not None:
            next_silence = found + 1
            pause_sec = round(silences[found].num_frames * HOP_SEC, 3)
            floors += _floor(silences[found], levels)
        (commas if symbol == "," else stops).append(pause_sec)
    floor_db = float(np.median(floors)) if floors else None
    return Pauses(tuple(commas), tuple(stops), floor_db)


def find_silences(levels: Levels) -> list[Silence]:
    """Returns the silences between the first and the last sound."""
    start, end = levels.speech_frames
    active = levels.is_active
    silences = []
    num_silent, num_sound = 0, 0
    for frame in range(start, end):
        if not active[frame]:
            num_silent += 1
            continue
        if num_silent * HOP_SEC >= MIN_PAUSE_SEC - 1e-9:
            silences.append(Silence(frame - num_silent, num_silent, num_sound * HOP_SEC))
        num_silent = 0
        num_sound += 1
    return silences


def _inner_marks(symbols: Sequence[str]) -> list[tuple[int, str]]:
    """Returns each comma and stop that is followed by a sound, with the phonemes before it."""
    marks, num_before = [], 0
    last = max((at for at, symbol in enumerate(symbols) if symbol not in MARKS), default=-1)
    for symbol in symbols[: last + 1]:
        if symbol not in MARKS:
            num_before += 1
        elif symbol != "_" and num_before:
            marks.append((num_before, symbol))
    return marks


def _floor(silence: Silence, levels: Levels) -> list[float]:
    """Returns the level inside a pause relative to the speech, if the pause is long enough."""
    edge = round(FLOOR_EDGE_SEC / HOP_SEC)
    if silence.num_frames < round(MIN_FLOOR_SEC / HOP_SEC):
        return []
    inside = levels.db[silence.start + edge : silence.start + silence.num_frames - edge]
    level = float(to_db(np.array([np.mean(10 ** (inside / 10))]))[0])
    return [max(MIN_DB, level - levels.speech_db)]
