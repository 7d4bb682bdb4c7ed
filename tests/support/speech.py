"""Speech over the fakes."""

import io
import json
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from httpx2 import Response
from starlette.testclient import TestClient

from orpheus_server.errors import GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.interfaces import TokenRequest
from tests.support.app import FakeServer, pcm_samples

MEDIA_TYPES = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
}
# Four chunks.
LONG_TEXT = "Abcdefg hijklmno pqrstuv. " * 12
NO_SPEECH = Script((), error=GenerationFailed("no speech"))


class SpeechClient:
    """Posts to the speech route of a fake server."""

    def __init__(self, server: FakeServer, client: TestClient) -> None:
        self.server = server
        self.client = client

    def post(self, text: str = "Hello you.", /, **fields: object) -> Response:
        body = {"input": text, "response_format": "pcm", **fields}
        return self.client.post("/v1/audio/speech", json=body)

    def last_request(self, **fields: object) -> TokenRequest:
        answer = self.post(**fields)
        assert answer.status_code == 200, answer.text
        return self.server.engine.requests[-1]


def read_events(body: bytes) -> list[dict[str, Any]]:
    """Returns the server-sent events; each has one line of data."""
    *events, rest = body.decode().split("\n\n")
    assert rest == ""
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def decode(name: str, body: bytes) -> npt.NDArray[np.int16]:
    """Decodes a response to samples at 24 kHz."""
    if name == "pcm":
        return pcm_samples(body)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=24_000)
    with av.open(io.BytesIO(body), "r") as container:
        parts = [
            part.to_ndarray().reshape(-1)
            for frame in [*container.decode(audio=0), None]
            for part in resampler.resample(frame)
        ]
    return np.concatenate(parts)
