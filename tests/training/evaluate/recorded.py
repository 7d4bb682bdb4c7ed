"""Judged recordings with chosen results."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.ear.error_rate import WordErrors
from training.evaluate.items import HELD_OUT, Item
from training.evaluate.judging import Judged
from training.evaluate.measures import Measures


def item(
    key: str = "held_out/0/tara",
    *,
    text: str = "Hello.",
    collection: str = HELD_OUT,
    kind: str = "statement",
    symbols: Sequence[str] = ("h", "ə", "l", "ˈoʊ", "."),
) -> Item:
    voice = key.rpartition("/")[2]
    return Item(key, collection, kind, text, tuple(symbols), voice)


def measures(
    *,
    duration_sec: float = 2.0,
    speech_sec: float = 1.0,
    level_db: float = -20.0,
    num_phonemes: int = 15,
    pitch_hz: float | None = 100.0,
    comma_sec: tuple[float, ...] = (),
    stop_sec: tuple[float, ...] = (),
    floor_db: float | None = None,
    is_start_clipped: bool = False,
    mel: tuple[float, ...] | None = None,
) -> Measures:
    return Measures(
        duration_sec=duration_sec,
        speech_sec=speech_sec,
        level_db=level_db,
        num_phonemes=num_phonemes,
        pitch_hz=pitch_hz,
        pitch_spread=None if pitch_hz is None else 2.0,
        comma_sec=comma_sec,
        stop_sec=stop_sec,
        floor_db=floor_db,
        is_start_clipped=is_start_clipped,
        is_end_clipped=False,
        mel=mel,
    )


def judged(
    spoken: Item | None = None,
    *,
    errors: WordErrors = WordErrors(10),  # noqa: B008 - frozen
    result: Mapping[str, Any] | None = None,
    is_picked: bool = True,
    sound: Measures | None = None,
) -> Judged:
    return Judged(
        item=spoken or item(),
        result=result or {},
        heard="",
        errors=errors,
        is_picked=is_picked,
        measures=sound or measures(),
    )
