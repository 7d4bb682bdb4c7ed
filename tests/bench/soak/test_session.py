"""Sessions with the real app over the fakes, and with servers that answer wrongly."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from orpheus_server.bench.soak.mix import Ask, ScriptedUtterance
from orpheus_server.bench.soak.result import SoakResult
from orpheus_server.bench.soak.session import SocketCaller
from orpheus_server.concurrency import WorkerPool
from orpheus_server.settings import Settings
from tests.bench.builders import SPEECH, TEXT
from tests.bench.scripted_server import SILENCE, serve_script
from tests.support.app import NO_WAIT, WAIT_LIMIT_SEC, FakeServer
from tests.support.served import ServedFakes

pytestmark = pytest.mark.anyio

STARTED = {"type": "session.started"}
START = {"type": "audio.start", "utterance": 0}
DONE = {"type": "audio.done", "num_samples": len(SPEECH) // 2, "is_cancelled": False}
CANCELLED = {"type": "audio.done", "num_samples": 9, "is_cancelled": True}


async def hold(
    url: str, *utterances: ScriptedUtterance, timeout_sec: float = WAIT_LIMIT_SEC
) -> SoakResult:
    pool = WorkerPool(1)
    try:
        caller = SocketCaller(
            url,
            voice="alloy",
            model="tts-1",
            key_headers={"authorization": "Bearer secret"},
            timeout_sec=timeout_sec,
            pool=pool,
        )
        return await caller.hold(
            Ask("socket", TEXT, "pcm", 1, utterances=utterances or (ScriptedUtterance(TEXT, None),))
        )
    finally:
        await pool.close()


class TestRealApp:
    async def test_utterances_and_a_cancellation(self) -> None:
        with ServedFakes(FakeServer(settings=Settings.model_construct())) as served:
            result = await hold(
                served.url,
                ScriptedUtterance(TEXT, None),
                ScriptedUtterance(TEXT, 1),
                ScriptedUtterance(TEXT, None),
            )
            assert served.fakes.engine.num_active == 0
        assert (result.kind, result.outcome, result.failure) == ("socket", "ok", None)
        assert result.first_audio_sec is not None
        assert 0 < result.first_audio_sec < result.total_sec
        assert result.num_underruns is None

    async def test_refused_while_the_server_loads(self) -> None:
        server = FakeServer(settings=NO_WAIT, is_loaded=False)
        with ServedFakes(server) as served:
            result = await hold(served.url)
        assert (result.outcome, result.failure) == ("refused", None)
        assert result.retry_after_sec is not None


@contextmanager
def serve_socket(
    *messages: dict[str, Any] | bytes, close_code: int | None = None
) -> Iterator[tuple[str, list[dict[bytes, bytes]]]]:
    """Answers `session.start` with these messages, then closes or waits for the client to leave.

    Yields the URL and the headers of the connections.
    """
    headers: list[dict[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers.append(dict(scope["headers"]))
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        for message in messages:
            if isinstance(message, bytes):
                await send({"type": "websocket.send", "bytes": message})
            else:
                await send({"type": "websocket.send", "text": json.dumps(message)})
        if close_code is not None:
            await send({"type": "websocket.close", "code": close_code})
            return
        while (await receive())["type"] != "websocket.disconnect":
            pass

    with serve_script(app) as url:
        yield url, headers


async def test_the_key_is_sent() -> None:
    with serve_socket(STARTED, START, SPEECH, DONE) as (url, headers):
        assert (await hold(url)).outcome == "ok"
    assert headers[0][b"authorization"] == b"Bearer secret"


async def test_a_cancelled_utterance_may_be_incomplete() -> None:
    with serve_socket(STARTED, START, SILENCE, CANCELLED) as (url, _):
        assert (await hold(url, ScriptedUtterance(TEXT, 1))).outcome == "ok"


@pytest.mark.parametrize(
    ("messages", "failure"),
    [
        ([START], "event audio.start"),
        ([STARTED, START, SPEECH[:-2], DONE], "num_samples of audio.done is wrong"),
        ([STARTED, START, SPEECH, CANCELLED], "cancelled without a cancel event"),
        ([STARTED, {"error": {"code": "internal_error"}}], "event internal_error"),
        ([STARTED, [1]], "invalid event"),
        (
            [STARTED, START, bytes(len(SPEECH)), DONE],
            "nothing audible",
        ),
    ],
)
async def test_failures(messages: Sequence[Any], failure: str) -> None:
    with serve_socket(*messages) as (url, _):
        result = await hold(url)
    assert (result.outcome, result.failure) == ("failed", failure)
    assert result.first_audio_sec is None


async def test_a_refusal_as_an_event() -> None:
    error = {"type": "service_unavailable_error", "code": "server_is_overloaded"}
    with serve_socket(STARTED, {"type": "error", "error": error}) as (url, _):
        result = await hold(url)
    assert (result.outcome, result.retry_after_sec) == ("refused", 1)


@pytest.mark.parametrize(
    ("code", "outcome", "failure"),
    [(1013, "refused", None), (1011, "failed", "session closed: 1011")],
)
async def test_closed_by_the_server(code: int, outcome: str, failure: str | None) -> None:
    with serve_socket(STARTED, close_code=code) as (url, _):
        result = await hold(url)
    assert (result.outcome, result.failure) == (outcome, failure)


async def test_a_timeout() -> None:
    with serve_socket(STARTED) as (url, _):
        result = await hold(url, timeout_sec=0.1)
    assert (result.outcome, result.failure) == ("failed", "timeout")


async def test_an_unreachable_server() -> None:
    with serve_socket() as (url, _):
        pass
    assert (await hold(url)).failure == "no answer: ConnectionRefusedError"
