"""Speech of a running server, and what its log says of each request."""

import http.client
import io
import json
import re
import time
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.ear.recordings import Pcm
from training.errors import TrainingError
from training.server import Server

ANSWER_LIMIT_SEC = 600.0
LOG_LIMIT_SEC = 10.0
"""The line of a request is written after its last byte."""

_LINE = re.compile(
    r"request=(?P<id>\S+) .*chunks=(?P<chunks>\d+) attempts=(?P<attempts>\d+) "
    r"degraded=(?P<degraded>\d+) "
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its samples, empty if it failed, and the seconds until its last byte."""

    request_id: str
    samples: Pcm
    elapsed_sec: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the server's log says of a request."""

    num_chunks: int
    num_attempts: int
    num_degraded: int


@dataclass(frozen=True, slots=True)
class SpeechService:
    """`POST /v1/audio/speech` of a server."""

    server: Server

    def speak(self, body: Mapping[str, Any]) -> Answer:
        """Requests speech as a WAV file. Raises `TrainingError` if the server is gone."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.server.port, timeout=ANSWER_LIMIT_SEC
        )
        try:
            headers = {"content-type": "application/json"}
            connection.request("POST", "/v1/audio/speech", json.dumps(body), headers)
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise TrainingError(f"the server failed: {error!r} (log: {self.server.log})") from error
        finally:
            connection.close()
        elapsed_sec = time.perf_counter() - started
        request_id = response.headers["x-request-id"] or ""
        if response.status != 200:
            reason = data.decode(errors="replace")[:300]
            return Answer(request_id, np.zeros(0, np.int16), elapsed_sec, reason)
        return Answer(request_id, read_wav(data), elapsed_sec)

    def counts_of(self, request_ids: list[str]) -> dict[str, Counts]:
        """Returns what the log says of requests; one whose line is missing is left out."""
        limit = time.monotonic() + LOG_LIMIT_SEC
        while True:
            found = parse_log(self.server.log.read_text(errors="replace"))
            if found.keys() >= set(request_ids) or time.monotonic() > limit:
                return {each: found[each] for each in request_ids if each in found}
            time.sleep(0.1)


def read_wav(data: bytes) -> Pcm:
    """Returns the samples of a WAV file."""
    with wave.open(io.BytesIO(data), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def parse_log(text: str) -> dict[str, Counts]:
    """Returns the counts of each request in a server's log."""
    return {
        match["id"]: Counts(int(match["chunks"]), int(match["attempts"]), int(match["degraded"]))
        for match in _LINE.finditer(text)
    }
