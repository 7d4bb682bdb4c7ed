"""Rows of the tables: what was judged, over all utterances, by voice, by kind."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

from training.ear.error_rate import WordErrors
from training.evaluate.faults import LOOPS, RUNAWAYS, is_early_stop
from training.evaluate.items import HELD_OUT, JUDGE, SHORT, Item
from training.evaluate.judging import Judged
from training.evaluate.pauses import MARKS, STOPS
from training.evaluate.timbre import Centroids

Row = dict[str, Any]

ALL = "all"
SENTENCES = "several_sentences"


def is_several_sentences(item: Item) -> bool:
    """Returns whether sounds follow a full stop."""
    stops = [at for at, symbol in enumerate(item.symbols) if symbol in STOPS]
    return bool(stops) and any(symbol not in MARKS for symbol in item.symbols[stops[0] :])


def tabulate(judged: Sequence[Judged], centroids: Centroids | None = None) -> dict[str, Row]:
    """Returns the rows that have utterances.

    All, each voice, each kind and those of several sentences are of held-out texts; the short
    answers and the judge's sentences are rows of their own.
    """
    paces = pace_of_voices(judged)
    held_out = [each for each in judged if each.item.collection == HELD_OUT]
    groups: dict[str, list[Judged]] = {ALL: held_out}
    for each in held_out:
        groups.setdefault(f"voice {each.item.voice}", []).append(each)
        groups.setdefault(f"kind {each.item.kind}", []).append(each)
    groups[SENTENCES] = [each for each in held_out if is_several_sentences(each.item)]
    for collection in (SHORT, JUDGE):
        groups[collection] = [each for each in judged if each.item.collection == collection]
    return {name: summarise(group, paces, centroids) for name, group in groups.items() if group}


def pace_of_voices(judged: Iterable[Judged]) -> dict[str, float]:
    """Returns the median phonemes per second of each voice."""
    paces: dict[str, list[float]] = {}
    for each in judged:
        if each.measures.speech_sec > 0:
            pace = each.measures.num_phonemes / each.measures.speech_sec
            paces.setdefault(each.item.voice, []).append(pace)
    return {voice: median(found) for voice, found in paces.items()}


def summarise(
    group: Sequence[Judged], paces: Mapping[str, float], centroids: Centroids | None
) -> Row:
    """Returns one row; a value that does not exist is left out."""
    errors = sum((each.errors for each in group), WordErrors())
    row: Row = {
        "num_utterances": len(group),
        "num_words": errors.num_words,
        "word_error_rate": round(errors.rate, 4),
        "substitutions": errors.num_substitutions,
        "insertions": errors.num_insertions,
        "deletions": errors.num_deletions,
        "picked_share": _share(group, lambda each: each.is_picked),
        "early_stop_share": _share(group, lambda each: _is_early(each, paces)),
        "clipped_start_share": _share(group, lambda each: each.measures.is_start_clipped),
        "clipped_end_share": _share(group, lambda each: each.measures.is_end_clipped),
    }
    sounds = [each.measures for each in group]
    speech_sec = sum(each.speech_sec for each in sounds)
    if speech_sec:
        row["phonemes_per_sec"] = round(sum(each.num_phonemes for each in sounds) / speech_sec, 2)
    _add_median(row, "pitch_hz", [each.pitch_hz for each in sounds], 1)
    _add_median(row, "pitch_spread_semitones", [each.pitch_spread for each in sounds], 2)
    _add_median(row, "comma_pause_sec", [sec for each in sounds for sec in each.comma_sec], 3)
    _add_median(row, "stop_pause_sec", [sec for each in sounds for sec in each.stop_sec], 3)
    _add_median(row, "pause_noise_db", [each.floor_db for each in sounds], 1)
    return row | _faults(group) | _service(group) | _timbre(group, centroids)


def _share(group: Sequence[Judged], holds: Callable[[Judged], bool]) -> float:
    return round(sum(map(holds, group)) / len(group), 4)


def _is_early(each: Judged, paces: Mapping[str, float]) -> bool:
    return is_early_stop(
        speech_sec=each.measures.speech_sec,
        num_phonemes=each.measures.num_phonemes,
        phonemes_per_sec=paces.get(each.item.voice, 0.0),
    )


def _add_median(row: Row, name: str, values: Iterable[float | None], num_digits: int) -> None:
    found = [value for value in values if value is not None]
    if found:
        row[name] = round(float(np.median(found)), num_digits)


def _faults(group: Sequence[Judged]) -> Row:
    """Returns loops and runaways of raw generations."""
    faults = [set(each.result["faults"]) for each in group if "faults" in each.result]
    if not faults:
        return {}
    return {
        "loop_share": round(fmean(bool(each & LOOPS) for each in faults), 4),
        "runaway_share": round(fmean(bool(each & RUNAWAYS) for each in faults), 4),
    }


def _service(group: Sequence[Judged]) -> Row:
    """Returns what the server's log and clock say of served speech."""
    served = [each for each in group if "elapsed_sec" in each.result]
    audio_sec = sum(each.measures.duration_sec for each in served)
    row: Row = {}
    if audio_sec:
        elapsed_sec = sum(each.result["elapsed_sec"] for each in served)
        row["real_time_factor"] = round(elapsed_sec / audio_sec, 3)
        row["num_failed"] = sum(bool(each.result["error"]) for each in served)
    counted = [each.result for each in served if "num_chunks" in each.result]
    num_chunks = sum(each["num_chunks"] for each in counted)
    if num_chunks:
        num_attempts = sum(each["num_attempts"] for each in counted)
        row["attempts_per_chunk"] = round(num_attempts / num_chunks, 3)
        row["num_degraded_chunks"] = sum(each["num_degraded"] for each in counted)
    return row


def _timbre(group: Sequence[Judged], centroids: Centroids | None) -> Row:
    """Returns the share of recordings that sound like their speaker, among the teacher's."""
    if centroids is None:
        return {}
    known = [
        (each.item.voice, np.array(each.measures.mel))
        for each in group
        if each.item.voice in centroids.by_speaker and each.measures.mel is not None
    ]
    if not known:
        return {}
    hits = [centroids.nearest(mel) == voice for voice, mel in known]
    return {"speaker_share": round(fmean(hits), 4)}
