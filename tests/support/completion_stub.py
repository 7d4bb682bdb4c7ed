"""A scripted server of completions in any dialect, including its failures.

It answers the probe by itself; tests script the streams. It runs on the test's event loop, so that
gates are events and nothing sleeps.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.app import POCKET
from tests.support.stub_llm import StubLlm, StubRequest, StubResponse

FIRST_CUSTOM_ID = POCKET.layout.audio_token_base - 10
STOP_ID = POCKET.layout.stop_token_ids[0]
TOKEN_NAMES = {"<bos>": 1, "<eot>": 2, "<sos>": 3, "<eos>": 4}

Play = Callable[["Stream"], Awaitable[None]]
"""Sends one stream."""


def name_of(token_id: int) -> str:
    """Returns the text of an audio token."""
    return f"<custom_token_{token_id - FIRST_CUSTOM_ID}>"


@dataclass
class Stream:
    """One requested stream, and what may be sent in it."""

    dialect: str
    requested: StubRequest
    response: StubResponse
    num_sent: int = 0
    has_head: bool = False

    def start(self) -> None:
        """Sends the head of the response."""
        if not self.has_head:
            self.has_head = True
            self.response.head()

    def send(self, *token_ids: int, num_counted: int | None = None) -> None:
        """Sends one event per id; `num_counted` replaces the server's count."""
        self.start()
        for token_id in token_ids:
            self.num_sent += 1
            count = self.num_sent if num_counted is None else num_counted
            self.response.event(self._event(token_id, count))

    def _event(self, token_id: int, count: int) -> dict[str, Any]:
        if self.dialect == "llama-server":
            return {"tokens": [token_id], "stop": False, "tokens_predicted": count}
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": None}
        if self.dialect == "vLLM":
            usage = {"completion_tokens": count}
            return {"choices": [{**choice, "token_ids": [token_id]}], "usage": usage}
        return {"choices": [{**choice, "text": name_of(token_id)}]}

    def text(self, text: str) -> None:
        """Sends text, in the dialect with text."""
        self.start()
        self.response.event({"choices": [{"text": text, "finish_reason": None}]})

    def finish(self, reason: str = "stop", *, num_counted: int | None = None) -> None:
        """Sends the last events and ends the response."""
        self.start()
        count = self.num_sent if num_counted is None else num_counted
        if self.dialect == "llama-server":
            kind = "limit" if reason == "length" else "word"
            last = {"tokens": [], "stop": True, "stop_type": kind, "tokens_predicted": count}
            self.response.event(last)
        else:
            choice: dict[str, Any] = {"text": "", "finish_reason": reason}
            usage = {"completion_tokens": count}
            if self.dialect == "vLLM":
                choice["token_ids"] = []
            self.response.event({"choices": [choice]})
            self.response.event({"choices": [], "usage": usage})
            self.response.event("[DONE]")
        self.response.end()


def plays(token_ids: Sequence[int], reason: str = "stop") -> Play:
    """Sends these ids and ends; a stop id at the end is sent as the dialect does it."""

    async def play(stream: Stream) -> None:
        is_hidden = stream.dialect == "text" and token_ids[-1] == STOP_ID
        stream.send(*(token_ids[:-1] if is_hidden else token_ids))
        stream.finish(reason)

    return play


def dies(token_ids: Sequence[int], *, gate: asyncio.Event | None = None) -> Play:
    """Sends these ids and closes the connection, once the gate is open."""

    async def play(stream: Stream) -> None:
        stream.send(*token_ids)
        if gate is not None:
            await stream.response.wait(gate)
        stream.response.close()

    return play


async def hangs(stream: Stream) -> None:
    """Sends nothing; ends when the client disconnects."""
    await stream.response.gone.wait()


@dataclass
class CompletionStub:
    """`async with stub.serve()`: plays `queue` in order, then `default`.

    `path_answers` replaces what the probe gets from a path: a status and a body.
    """

    default: Play
    dialect: str = "llama-server"
    context_tokens: int = 2048
    num_slots: int = 4
    num_added_tokens: int = 0
    probe_ids: tuple[int, ...] = (96, 224, 352, 480, 608, 736, 864)
    tokens: dict[str, int] = field(default_factory=lambda: dict(TOKEN_NAMES))
    path_answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    queue: list[Play] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    seen: list[StubRequest] = field(default_factory=list)

    def serve(self, port: int = 0) -> "_Served":
        """Returns the server; `port` 0 is a free one."""
        return _Served(self, port)

    async def respond(self, requested: StubRequest, response: StubResponse) -> None:
        """Answers one request."""
        if requested.path in self.path_answers:
            status, body = self.path_answers[requested.path]
            response.json(status, body)
        elif requested.body.get("stream"):
            stream = Stream(self.dialect, requested, response)
            self.streams.append(stream)
            await (self.queue.pop(0) if self.queue else self.default)(stream)
        else:
            self.seen.append(requested)
            body = next(self._probe_answers(requested), None)
            response.json(404 if body is None else 200, body or {"error": "no such path"})

    def _probe_answers(self, requested: StubRequest) -> Iterator[dict[str, Any]]:
        path, body, is_llama = requested.path, requested.body, self.dialect == "llama-server"
        if path == "/health" and self.dialect != "text":
            yield {"status": "ok"}
        if path == "/props" and is_llama:
            settings = {"n_ctx": self.context_tokens}
            yield {"default_generation_settings": settings, "total_slots": self.num_slots}
        if path == "/v1/models":
            context = {"max_model_len": self.context_tokens} if self.dialect == "vLLM" else {}
            yield {"data": [{"id": "pocket", **context}]}
        if path == "/tokenize" and self.dialect != "text":
            name = body["content"] if is_llama else body["prompt"]
            number = name.removeprefix("<custom_token_").removesuffix(">")
            own = FIRST_CUSTOM_ID + int(number) if number.isdigit() else None
            yield {"tokens": [self.tokens.get(name, own)]}
        if path == "/completion" and is_llama:
            yield {"tokens": list(self.probe_ids[:1]), "stop": True}
        if path == "/v1/completions" and not is_llama:
            choice: dict[str, Any] = {"text": "".join(map(name_of, self.probe_ids))}
            usage = None
            if self.dialect == "vLLM":
                choice["token_ids"] = list(self.probe_ids[:1])
            else:
                count = len(body["prompt"].split()) + self.num_added_tokens
                usage = {"prompt_tokens": count}
            yield {"choices": [choice], "usage": usage}


class _Served(StubLlm):
    def __init__(self, stub: CompletionStub, port: int) -> None:
        super().__init__(port)
        self.default = self.models = stub.respond
        self.stub = stub
