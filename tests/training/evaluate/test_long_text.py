import json
from typing import Any

import numpy as np
import pytest

from training.errors import TrainingError
from training.evaluate.long_text import long_text, receive_chunks


class ScriptedSocket:
    """Sends these messages."""

    def __init__(self, *messages: bytes | dict[str, Any]) -> None:
        self._messages = iter(messages)

    def recv(self, timeout: float) -> bytes | str:
        message = next(self._messages)
        return message if isinstance(message, bytes) else json.dumps(message)


def samples(*values: int) -> bytes:
    return np.array(values, np.int16).tobytes()


def chunk(text: str, start: int) -> dict[str, Any]:
    return {"type": "chunk.start", "text": text, "start_sample": start}


def test_cuts_the_audio_where_chunks_begin() -> None:
    socket = ScriptedSocket(
        {"type": "audio.start"},
        chunk("One.", 0),
        samples(1, 1),
        samples(1),
        chunk("Two.", 3),
        samples(2, 2),
        {"type": "audio.done"},
    )
    chunks = receive_chunks(socket)  # type: ignore[arg-type]
    assert [(text, part.tolist()) for text, part in chunks] == [
        ("One.", [1, 1, 1]),
        ("Two.", [2, 2]),
    ]


def test_an_error_ends_it() -> None:
    socket = ScriptedSocket(chunk("One.", 0), {"type": "error", "error": {"message": "no audio"}})
    with pytest.raises(TrainingError, match="no audio"):
        receive_chunks(socket)  # type: ignore[arg-type]


def test_the_text_has_twenty_sentences() -> None:
    assert sum(long_text().count(stop) for stop in ".!?") == 20
