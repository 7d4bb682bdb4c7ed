"""Times of the symbols."""

import numpy as np

from training.speech.levels import Levels
from training.speech.timing import give_pauses_to_stops, symbol_bounds

RATE = 24_000
BLOCK = 240


def levels(text: str) -> Levels:
    return Levels(np.array([0.0 if each == "#" else -60.0 for each in text]), BLOCK)


def test_characters_of_a_symbol_are_joined() -> None:
    ends = np.array([10, 20, 25, 40, 60, 100])  # padding, four characters, padding
    assert symbol_bounds(ends, (0, 1, 1, 2)).tolist() == [10, 20, 40, 60]


def test_a_stop_begins_where_the_sound_ends() -> None:
    bounds = np.array([0, 5, 20, 30, 40]) * float(BLOCK)
    measured = levels("#" * 9 + "." * 21 + "#" * 10)
    moved = give_pauses_to_stops(bounds, ["a", "b", ",", "c"], measured, sample_rate=RATE)
    assert (moved / BLOCK).tolist() == [0, 5, 9, 30, 40]


def test_the_last_stop_begins_after_a_late_sound() -> None:
    bounds = np.array([0, 5, 10, 60]) * float(BLOCK)
    measured = levels("#" * 15 + "." * 30 + "#" + "." * 14)
    moved = give_pauses_to_stops(bounds, ["a", "b", "."], measured, sample_rate=RATE)
    assert (moved / BLOCK).tolist() == [0, 5, 15, 60]


def test_a_silent_phoneme_keeps_a_frame() -> None:
    bounds = np.array([0, 5, 20, 40]) * float(BLOCK)
    measured = levels("#" * 5 + "." * 35)
    moved = give_pauses_to_stops(bounds, ["a", "f", "."], measured, sample_rate=RATE)
    assert (moved / BLOCK).tolist() == [0, 5, 7.5, 40]


def test_other_symbols_are_not_moved() -> None:
    bounds = np.array([0, 5, 10, 15]) * float(BLOCK)
    measured = levels("#.#" * 5)
    moved = give_pauses_to_stops(bounds, ["a", "_", "b"], measured, sample_rate=RATE)
    assert moved.tolist() == bounds.tolist()
