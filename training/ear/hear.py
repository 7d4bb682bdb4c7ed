"""Transcribes files of recordings; what was heard before is not heard again."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from training.ear.recordings import Recording, read_recordings
from training.ear.rows import append_row, read_rows

logger = logging.getLogger(__name__)


class Ear(Protocol):
    """Returns the text of a recording."""

    def hear(self, recording: Recording) -> str: ...


def transcribe(
    paths: Iterable[Path],
    output: Path,
    load_ear: Callable[[], Ear],
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Appends `{"key": …, "heard": …}` for each recording that `output` lacks; returns how many.

    The ear is loaded only if there is something to hear.
    """
    known = {row["key"] for row in read_rows(output)}
    ear: Ear | None = None
    num_heard = 0
    for recording in _recordings(paths, known):
        if is_stopped():
            break
        if ear is None:
            ear = load_ear()
        append_row(output, {"key": recording.key, "heard": ear.hear(recording)})
        num_heard += 1
        if num_heard % 50 == 0:
            logger.info("ear: %d recordings heard, now in %s", num_heard, recording.key)
    return num_heard


def _recordings(paths: Iterable[Path], known: set[str]) -> Iterator[Recording]:
    for path in paths:
        for recording in read_recordings(path):
            if recording.key not in known:
                known.add(recording.key)
                yield recording
