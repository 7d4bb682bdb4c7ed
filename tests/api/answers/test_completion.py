"""Chat completions while they are streamed: early audio, disconnects and limits."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus_server.errors import ChatModelFailed
from orpheus_server.fakes import ReplyScript, Script, ScriptedChatModel
from orpheus_server.interfaces import ChatMessage
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer, call_by_hand, speech_ids, wait_for
from tests.support.completions import (
    FIRST,
    NUM_FRAMES,
    PATH,
    SPOKEN,
    TEXT,
    TEXTS,
    USER,
    assert_nothing_is_held,
    audio_deltas,
    chat_model,
    joined,
    outcomes,
)


@dataclass
class Call:
    """An ASGI request whose response can be observed while it is sent.

    `events` are those sent so far; `text` and `data` are their transcript and samples. The client
    reads while `reads` is set.
    """

    app: ASGIApp
    fields: dict[str, Any]
    sent: list[Message] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    data: bytes = b""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.reads.set()

    async def run(self) -> None:
        body = json.dumps({"messages": [USER], **self.fields}).encode()
        self.messages.put_nowait({"type": "http.request", "body": body})
        await call_by_hand(self._watched, self.messages, path=PATH, raw_path=PATH.encode())

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            self.sent.append(message)
            # Parsed here, once each, because `until` evaluates its condition very often.
            for line in message.get("body", b"").decode().split("\n\n"):
                if line.startswith("data: {"):
                    self.events.append(json.loads(line.removeprefix("data: ")))
            self.text, self.data = joined(audio_deltas(self.events))
            self.news.set()
            await self.reads.wait()

        await self.app(scope, receive, note)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when the condition holds; checked per message, as polling would slow the pool."""
        while not condition():
            self.news.clear()
            await self.news.wait()

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status


@dataclass
class AppHarness:
    """A running app over the fakes."""

    server: FakeServer
    chat: ScriptedChatModel
    app: ASGIApp

    def begin(self, **fields: Any) -> tuple[Call, asyncio.Task[None]]:
        call = Call(self.app, fields)
        return call, asyncio.create_task(call.run())


@asynccontextmanager
async def open_harness(settings: Settings | None = None) -> AsyncIterator[AppHarness]:
    """Runs the app; asserts afterwards that both models are idle and no task is left."""
    chat = chat_model()
    server = FakeServer(settings=settings or Settings(), chat=chat)
    app = server.build_app()
    async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
        before = asyncio.all_tasks()
        yield AppHarness(server, chat, app)
        assert (server.engine.num_active, chat.num_active) == (0, 0)
        assert_nothing_is_held(server)
        assert asyncio.all_tasks() == before


@pytest.mark.anyio
class TestStreaming:
    async def test_the_first_sentence_is_sent_while_the_second_is_written(self) -> None:
        async with open_harness() as harness:
            gate = asyncio.Event()
            harness.chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=4))
            call, task = harness.begin(stream=True, **SPOKEN)
            await call.until(lambda: len(call.data) == NUM_FRAMES[0] * 4096)
            assert harness.chat.num_active == 1
            assert call.text == "".join(TEXTS[:4])
            gate.set()
            await task
            assert (call.text, len(call.data)) == (TEXT, sum(NUM_FRAMES) * 4096)

    async def test_text_is_sent_before_its_sentence_ends(self) -> None:
        async with open_harness() as harness:
            gate = asyncio.Event()
            harness.chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=2))
            call, task = harness.begin(stream=True, **SPOKEN)
            await call.until(lambda: len(call.sent) > 2)
            assert (call.text, call.data) == ("".join(TEXTS[:2]), b"")
            gate.set()
            await task

    async def test_nothing_is_sent_before_the_model_writes(self) -> None:
        """The status cannot be changed once it is sent."""
        async with open_harness() as harness:
            gate = asyncio.Event()
            harness.chat.enqueue(
                ReplyScript((), gate=gate, error=ChatModelFailed("it broke")),
                ReplyScript((), gate=gate, error=ChatModelFailed("it broke")),
            )
            calls = [harness.begin(stream=True, **fields) for fields in ({}, SPOKEN)]
            await wait_for(lambda: harness.chat.num_active == 2)
            for _ in range(100):
                await asyncio.sleep(0)
            assert [call.sent for call, _ in calls] == [[], []]
            gate.set()
            for call, task in calls:
                await task
                assert call.status == 502

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("gate_at", [0, 4])
    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    async def test_the_client_disconnects(
        self,
        fields: dict[str, Any],
        gate_at: int,
        stream: bool,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async with open_harness() as harness:
            gate = asyncio.Event()
            harness.chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=gate_at))
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                call, task = harness.begin(stream=stream, **fields)
                await wait_for(lambda: harness.chat.num_active == 1)
                if stream and gate_at:
                    await call.until(lambda: len(call.sent) >= 4)
                call.leave()
                await task
            assert (harness.chat.num_active, harness.chat.num_aborted) == (0, 1)
            assert call.status == (200 if stream and gate_at else 499)
            assert outcomes(caplog) == ["caller_left"]

    async def test_a_disconnect_while_a_whole_answer_is_sent(self) -> None:
        """It was not counted, because the reply had been generated already."""
        async with open_harness() as harness:
            call, task = harness.begin(**SPOKEN)
            call.reads.clear()
            await call.until(lambda: call.sent != [])
            call.leave()
            await task
            metrics = harness.server.runtime.metrics.render().decode()
            assert f'orpheus_disconnects_total{{route="{PATH}"}} 1.0' in metrics

    async def test_a_disconnect_aborts_speech_generation(self) -> None:
        async with open_harness() as harness:
            engine = harness.server.engine
            engine.enqueue(*[Script(speech_ids(12), hangs_at_end=True)] * 2)
            call, task = harness.begin(stream=True, **SPOKEN)
            await call.until(lambda: call.data != b"")
            assert engine.num_active > 0
            call.leave()
            await task
            assert engine.num_active == 0

    async def test_the_transcript_of_an_interrupted_answer_is_kept(self) -> None:
        """A follow-up to an interrupted answer was rejected."""
        async with open_harness() as harness:
            gate = asyncio.Event()
            harness.chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=4))
            call, task = harness.begin(stream=True, **SPOKEN)
            await call.until(lambda: len(call.data) == NUM_FRAMES[0] * 4096)
            call.leave()
            await task
            said = {"role": "assistant", "audio": {"id": audio_deltas(call.events)[0]["id"]}}
            call, task = harness.begin(messages=[said, USER])
            await task
            assert call.status == 200
            assert harness.chat.requests[-1].messages[0] == ChatMessage("assistant", FIRST)

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    async def test_the_request_limit_of_a_caller(self, fields: dict[str, Any]) -> None:
        async with open_harness(Settings(tts_max_requests_per_key=1)) as harness:
            gate = asyncio.Event()
            harness.chat.enqueue(ReplyScript(TEXTS, gate=gate))
            first, first_task = harness.begin(**fields)
            await wait_for(lambda: harness.chat.num_active == 1)
            second, second_task = harness.begin(**fields)
            await second_task
            assert second.status == 429
            # The second request did not reach the model.
            assert len(harness.chat.requests) == 1
            gate.set()
            await first_task
            assert first.status == 200

    async def test_a_full_server_rejects_before_the_model_is_called(self) -> None:
        settings = Settings(tts_max_streams=1, tts_queue_wait_sec=0)
        async with open_harness(settings) as harness:
            gate = asyncio.Event()
            harness.chat.enqueue(ReplyScript(TEXTS, gate=gate))
            _, first_task = harness.begin(**SPOKEN)
            await wait_for(lambda: harness.chat.num_active == 1)
            second, second_task = harness.begin(stream=True, **SPOKEN)
            await second_task
            assert second.status == 503
            assert second.sent[1]["body"].count(b"server_is_overloaded") == 1
            assert len(harness.chat.requests) == 1
            gate.set()
            await first_task

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    async def test_a_failure_in_the_middle_leaves_the_body_unfinished(
        self, fields: dict[str, Any]
    ) -> None:
        """It ended as a complete one does, apart from the missing `[DONE]`."""
        async with open_harness() as harness:
            harness.chat.enqueue(ReplyScript(TEXTS[:4], error=ChatModelFailed("it broke")))
            call, task = harness.begin(stream=True, **fields)
            await task
            assert call.status == 200
            assert call.sent[-1]["more_body"]
            assert call.events[-1] == {
                "error": {
                    "message": "it broke",
                    "type": "server_error",
                    "param": None,
                    "code": "llm_failed",
                }
            }
            assert b"[DONE]" not in b"".join(each.get("body", b"") for each in call.sent)
