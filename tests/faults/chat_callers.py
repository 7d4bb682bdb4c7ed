"""Clients of the chat routes of a real server with two engines."""

import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from websockets.sync.client import ClientConnection

from tests.faults.callers import Answer, Listener, exchange, is_speech, pcm
from tests.faults.case import Case
from tests.faults.conftest import LIMITS
from tests.faults.fault_server import SECRET_WORD, FaultServer
from tests.support.served import wait_until

QUESTION = f"What does the {SECRET_WORD} fox do?"
TIMEOUT_SEC = 3

LONG: dict[str, Any] = {"temperature": 0.0}
"""With greedy sampling the tiny model writes until its context is full."""

CHAT, COMPLETIONS = "/v1/chat", "/v1/chat/completions"
SPOKEN: dict[str, Any] = {"modalities": ["text", "audio"]}
WAV, PCM = ({"voice": "leo", "format": name} for name in ("wav", "pcm16"))
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"voice": "leo", "response_format": "pcm"}),
    "chat text": (CHAT, {"stream_text": True}),
    "completion": (COMPLETIONS, {}),
    "completion events": (COMPLETIONS, {"stream": True}),
    "spoken completion": (COMPLETIONS, {**SPOKEN, "audio": WAV}),
    "spoken completion events": (COMPLETIONS, {**SPOKEN, "audio": PCM, "stream": True}),
}
STREAMED = ("chat", "chat text", "completion events", "spoken completion events")

CHAT_LIMITS: dict[str, Any] = {
    **LIMITS,
    # High enough to admit all requests on a slow machine.
    "TTS_MAX_STREAMS": "32",
    "TTS_REQUEST_TIMEOUT_SEC": "90",
    "TTS_ENGINE_STALL_SEC": "10",
    "TTS_DRAIN_SEC": "90",
    "LLM_TIMEOUT_SEC": str(TIMEOUT_SEC),
}


def local_model(folder: Path) -> dict[str, Any]:
    """Returns the settings for a local language model next to the voice."""
    return {**CHAT_LIMITS, "LLM_MODEL_NAME": str(folder), "LLM_MAX_MODEL_LEN": "1024"}


def body_of(way: str, text: str = QUESTION, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Returns the path and the body of a question."""
    path, own = WAYS[way]
    requested: dict[str, Any] = {"message": text}
    if path == COMPLETIONS:
        requested = {"messages": [{"role": "user", "content": text}]}
    return path, {**requested, **own, **fields}


class ChatServer(FaultServer):
    """`FaultServer` with a language model."""

    def post(self, path: str, body: object) -> Answer:
        """Sends a request and reads the whole answer."""
        return exchange(self.port, self.request("POST", path, body), method="POST")

    def reply(self, way: str, text: str = QUESTION, **fields: Any) -> Answer:
        """Sends a question in one of `WAYS` and reads the whole answer."""
        return self.post(*body_of(way, text, **fields))

    def listen_to(self, way: str, text: str = QUESTION, **fields: Any) -> Listener:
        """Sends a question in one of `WAYS`; the test reads the answer."""
        path, body = body_of(way, text, **fields)
        return Listener(self.port, self.request("POST", path, body))

    def num_replies(self) -> int:
        """Returns the number of replies that the language model is generating."""
        return int(self.gauges()["chat_replies_active"])

    def busy(self) -> list[str]:
        """Returns the nonzero gauges of both engines."""
        num_replies = self.num_replies()
        return [*super().busy(), *([f"replies {num_replies}"] if num_replies else [])]

    def cores(self) -> list[psutil.Process]:
        """Returns the engines' core processes, oldest first: initially the voice's is the first."""
        found = []
        for process in self.descendants():
            with suppress(psutil.Error):
                if any("VLLM::EngineCore" in part for part in process.cmdline()):
                    found.append(process)
        return sorted(found, key=lambda process: float(process.create_time()))

    def take_as_base(self) -> None:
        """Accepts the processes of restarted engines; nothing else may differ from the base."""
        assert self.base is not None
        children = frozenset(each.pid for each in self.descendants())
        self.base = replace(self.base, children=children)

    def sum_rss_mb(self) -> float:
        """Returns the memory of the engines' core processes."""
        return float(sum(each.memory_info().rss for each in self.cores())) / 1e6


class ChatCase(Case):
    """A case after which speech and every way of chat must work."""

    def _check_answer(self) -> None:
        super()._check_answer()
        assert isinstance(self._server, ChatServer)
        for way in WAYS:
            answer = self._server.reply(way, max_tokens=12, seed=4)
            assert is_well(way, answer), f"{way} afterwards: {summary(answer)}"
        self._answer += f"; {len(WAYS)} chats 200"

    def _log(self) -> str:
        """Leaves out the lines that vLLM itself logs when a core dies."""
        lines = super()._log().splitlines()
        return "\n".join(line for line in lines if "[async_llm.py:" not in line)


def summary(answer: Answer) -> str:
    """Returns the status, and the error code if a stream of events ended with one."""
    if answer.status == 200 and (error := error_event(answer)):
        return f"200, event {error['code']}"
    return answer.summary


def events(answer: Answer) -> list[dict[str, Any]]:
    """Returns the events of an event stream, or an empty list for any other answer."""
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        return []
    lines = answer.body.decode().split("\n\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def error_event(answer: Answer) -> dict[str, Any]:
    """Returns the error that an event stream ended with, or an empty dict."""
    last = events(answer)[-1:]
    return dict(last[0].get("error", {})) if last else {}


def is_well(way: str, answer: Answer) -> bool:
    """Returns whether the answer is complete and has the text or speech of its way."""
    if answer.status != 200 or not answer.is_whole or error_event(answer):
        return False
    if way == "chat":
        return is_speech(pcm(answer.body), 0.3, 600)
    if way == "chat text":
        return bool(answer.body.decode().strip())
    if "events" in way:
        choices = [event["choices"][0] for event in events(answer)]
        parts = [each["delta"].get("audio") or each["delta"] for each in choices]
        wanted = "data" if "spoken" in way else "content"
        has_all = any(part.get(wanted) for part in parts) and choices[-1]["finish_reason"]
        return bool(has_all) and answer.body.endswith(b"data: [DONE]\n\n")
    message = json.loads(answer.body)["choices"][0]["message"]
    if "spoken" in way:
        return len(message["audio"]["data"]) > 10_000 and bool(message["audio"]["transcript"])
    return bool(message["content"].strip())


def converse(
    connection: ClientConnection, text: str = QUESTION, **fields: Any
) -> tuple[list[dict[str, Any]], int]:
    """Sends a message in a session; returns the events of the reply and its bytes of audio."""
    connection.send(json.dumps({"type": "chat.message", "text": text, **fields}))
    return hear(connection)


def hear(connection: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Returns the events until the end of the reply, and its bytes of audio."""
    found: list[dict[str, Any]] = []
    num_bytes = 0
    while not found or found[-1]["type"] not in ("audio.done", "error"):
        message = connection.recv(timeout=90)
        if isinstance(message, bytes):
            num_bytes += len(message)
        else:
            found.append(json.loads(message))
    return found, num_bytes


def seconds_until_rest(server: ChatServer) -> float:
    """Returns how long the engines and the queue take to become empty."""
    started = time.monotonic()
    wait_until(lambda: not server.busy(), limit_sec=30, pause_sec=0.005)
    return time.monotonic() - started
