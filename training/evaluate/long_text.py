"""A text of twenty sentences over the server's WebSocket, which says where each chunk begins."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from training.ear.recordings import Pcm
from training.errors import TrainingError
from training.evaluate.items import LONG_TEXT_SENTENCES, Item, judge_sentences
from training.evaluate.sampling import Sampling
from training.evaluate.spoken import Spoken

LONG_TEXT = "long_text"
EVENT_LIMIT_SEC = 120.0
"""Between two events; a chunk takes seconds, on a busy machine much longer."""

Chunk = tuple[str, Pcm]


def long_text(num_sentences: int = LONG_TEXT_SENTENCES) -> str:
    """Returns the first of the judge's sentences as one text."""
    return " ".join(judge_sentences()[:num_sentences])


def speak_long_text(
    port: int,
    text: str,
    voice: str,
    sampling: Sampling,
    symbols_of: Callable[[str], tuple[str, ...]],
) -> list[Spoken]:
    """Returns the chunks of the text, in order. Raises `TrainingError` if the server fails."""
    start = {
        "type": "session.start",
        "voice": voice,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": 1,
    }
    try:
        with connect(
            f"ws://127.0.0.1:{port}/v1/audio/stream",
            compression=None,
            proxy=None,
            ping_interval=None,
            max_size=None,
        ) as socket:
            for event in (
                start,
                {"type": "text.delta", "text": text},
                {"type": "text.done"},
            ):
                socket.send(json.dumps(event))
                if event is start:
                    _check(json.loads(socket.recv(EVENT_LIMIT_SEC)))
            chunks = receive_chunks(socket)
    except (OSError, TimeoutError, WebSocketException) as error:
        raise TrainingError(f"the server failed at the long text: {error!r}") from error
    return [
        Spoken(
            Item(
                key=f"{LONG_TEXT}/{number}/{voice}",
                collection=LONG_TEXT,
                kind="chunk",
                text=chunk,
                symbols=symbols_of(chunk),
                voice=voice,
            ),
            samples,
        )
        for number, (chunk, samples) in enumerate(chunks)
    ]


def receive_chunks(socket: ClientConnection) -> list[Chunk]:
    """Returns text and samples of each chunk of one utterance."""
    data = bytearray()
    texts: list[str] = []
    starts: list[int] = []
    while True:
        message = socket.recv(EVENT_LIMIT_SEC)
        if isinstance(message, bytes):
            data += message
            continue
        event: dict[str, Any] = json.loads(message)
        _check(event)
        if event["type"] == "chunk.start":
            texts.append(event["text"])
            starts.append(event["start_sample"])
        elif event["type"] == "audio.done":
            samples = np.frombuffer(bytes(data), np.int16)
            return list(zip(texts, np.split(samples, starts[1:]), strict=True))


def _check(event: dict[str, Any]) -> None:
    if "error" in event:
        raise TrainingError(f"the server failed at the long text: {event['error']}")
