"""Chat completions over the fakes."""

import base64
import json
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from orpheus_server.fakes import ReplyScript, ScriptedChatModel
from tests.support.app import FakeServer

PATH = "/v1/chat/completions"
FIRST, SECOND = "Hello there, this is one sentence.", "And this is the second one."
TEXTS = ("Hello", " there, this is", " one sentence. ", "And this", " is the second one.")
TEXT = f"{FIRST} {SECOND}"
# A phoneme takes 80 ms, a frame 85.3 ms.
NUM_FRAMES = (27, 22)
USER = {"role": "user", "content": "Good morning!"}
SPOKEN: dict[str, Any] = {
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "pcm16"},
}


def chat_model(*texts: str, **changes: Any) -> ScriptedChatModel:
    return ScriptedChatModel(ReplyScript(texts or TEXTS, **changes))


class CompletionsClient:
    """Posts chat completions to a fake server with a scripted language model."""

    def __init__(self, server: FakeServer, client: TestClient) -> None:
        self.server = server
        self.client = client
        assert isinstance(server.chat, ScriptedChatModel)
        self.chat = server.chat

    def post(self, *messages: Any, **fields: Any) -> Response:
        body = {"messages": list(messages) or [USER], **fields}
        return self.client.post(PATH, json=body)

    def spoken(self, *messages: Any, **fields: Any) -> Response:
        return self.post(*messages, **{**SPOKEN, **fields})

    def error(self, status: int, *messages: Any, **fields: Any) -> dict[str, Any]:
        answer = self.post(*messages, **fields)
        assert answer.status_code == status, answer.text
        error: dict[str, Any] = answer.json()["error"]
        return error


def read_events(body: bytes) -> list[dict[str, Any]]:
    """Returns the events of a stream with a regular end."""
    *events, done, rest = body.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def audio_of(answer: Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    audio: dict[str, Any] = answer.json()["choices"][0]["message"]["audio"]
    return audio


def audio_deltas(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    deltas = [choice["delta"] for event in events for choice in event.get("choices", [])]
    return [delta["audio"] for delta in deltas if "audio" in delta]


def joined(deltas: list[dict[str, Any]]) -> tuple[str, bytes]:
    """Returns transcript and samples."""
    text = "".join(delta.get("transcript", "") for delta in deltas)
    return text, b"".join(base64.b64decode(delta.get("data", "")) for delta in deltas)


def assert_nothing_is_held(server: FakeServer) -> None:
    runtime = server.runtime
    admission = runtime.admission
    assert runtime.services.reply_slots.num_taken == 0
    assert (admission.num_running, admission.num_waiting, admission.num_delivering) == (0, 0, 0)


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns the outcome of each finished request from its log line."""
    words = [word for record in caplog.records for word in record.getMessage().split()]
    return [word.partition("=")[2] for word in words if word.startswith("outcome=")]
