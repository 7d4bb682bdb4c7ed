"""Judges recordings: measures, and the choice of the grammar. What was judged stays judged."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.ear.error_rate import WordErrors, count_errors
from training.ear.normaliser import words_of
from training.ear.recordings import Pcm
from training.ear.rows import append_row, read_rows
from training.evaluate.grammar import choices_for
from training.evaluate.items import Item
from training.evaluate.measures import Measures, measure, measures_from_json
from training.evaluate.spoken import SAMPLE_RATE, Entry

Texts = Mapping[str, Sequence[str]]
"""The symbols of each text."""


class Picker(Protocol):
    """Returns which of the texts a recording is, or None."""

    def pick(self, samples: Pcm, sample_rate: int, choices: Texts) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """A recording with all that is known of it."""

    item: Item
    result: Mapping[str, Any]
    heard: str
    errors: WordErrors
    is_picked: bool
    measures: Measures


def judge(
    recordings: Iterable[tuple[Entry, Pcm]],
    output: Path,
    texts: Mapping[str, Texts],
    load_picker: Callable[[], Picker],
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Appends a row for each recording that has none in `output`.

    `texts` are the texts of each collection, from which the grammar's choices are taken.
    """
    known = {row["recording"] for row in read_rows(output)}
    picker: Picker | None = None
    for entry, samples in recordings:
        if is_stopped():
            return
        if entry.recording in known:
            continue
        if picker is None:
            picker = load_picker()
        item = entry.item
        symbols = {item.text: item.symbols, **texts[item.collection]}
        choices = {each: symbols[each] for each in choices_for(item.text, list(symbols))}
        picked = picker.pick(samples, SAMPLE_RATE, choices)
        row = {
            "recording": entry.recording,
            "is_picked": picked == item.text,
            "measures": measure(samples, SAMPLE_RATE, item.symbols).to_json(),
        }
        append_row(output, row)


def read_judged(entries: Iterable[Entry], heard_file: Path, judged_file: Path) -> list[Judged]:
    """Returns the recordings that were both heard and judged."""
    heard = {row["key"]: str(row["heard"]) for row in read_rows(heard_file)}
    judged = {row["recording"]: row for row in read_rows(judged_file)}
    return [
        Judged(
            item=entry.item,
            result=entry.result,
            heard=heard[entry.recording],
            errors=count_errors(words_of(entry.item.text), words_of(heard[entry.recording])),
            is_picked=bool(judged[entry.recording]["is_picked"]),
            measures=measures_from_json(judged[entry.recording]["measures"]),
        )
        for entry in entries
        if entry.recording in heard and entry.recording in judged
    ]
