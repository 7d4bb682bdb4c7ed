"""Requests that arrive while the models load: held, counted, and served or rejected."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from orpheus_server.checkpoints.download import Download
from orpheus_server.errors import StartError
from orpheus_server.runtime import loading_queue
from orpheus_server.settings import Settings
from tests.support.app import ANY_BODY, NO_WAIT, FakeServer, VirtualClock, settle, wait_for
from tests.support.completions import chat_model
from tests.support.harness import AppHarness, Call, open_harness
from tests.support.served import ServedFakes

pytestmark = pytest.mark.anyio

SPEECH, TTS, CHAT, COMPLETIONS = "/v1/audio/speech", "/tts", "/v1/chat", "/v1/chat/completions"
SPOKEN = {
    "response_format": None,
    "modalities": ["text", "audio"],
    "audio": {"voice": "tara", "format": "wav"},
}
WRITTEN = {"response_format": None}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "stream": (SPEECH, {}),
    "file": (SPEECH, {"stream": False}),
    "sse": (SPEECH, {"stream_format": "sse"}),
    "without /v1": ("/audio/speech", {}),
    "tts": (TTS, {}),
    "spoken chat": (CHAT, {}),
    "written chat": (CHAT, {"stream_text": True}),
    "spoken completion": (COMPLETIONS, SPOKEN),
    "written completion": (COMPLETIONS, WRITTEN),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS)


@asynccontextmanager
async def open_loading(settings: Settings | None = None) -> AsyncIterator[AppHarness]:
    """Runs an app whose voice and language model are loading."""
    async with open_harness(settings, is_loaded=False, chat=chat_model()) as harness:
        yield harness
        runtime = harness.server.runtime
        assert (runtime.num_waiting, runtime.services.waiting_slots.num_taken) == (0, 0)


def begin(harness: AppHarness, way: str = "stream") -> tuple[Call, asyncio.Task[None]]:
    path, fields = WAYS[way]
    return post(harness, path, input="Abcdefg hijklmno.", **fields)


def post(harness: AppHarness, path: str, **fields: Any) -> tuple[Call, asyncio.Task[None]]:
    call = Call(harness.app, {**ANY_BODY, **fields}, path=path)
    return call, asyncio.create_task(call.run())


async def get(harness: AppHarness, path: str) -> Any:
    """Returns the body of a GET request and its status."""
    call = Call(harness.app, {}, path=path)
    await call.run(method="GET")
    return call


def status_of(call: Call) -> int:
    status: int = call.sent[0]["status"]
    return status


def headers_of(call: Call) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in call.sent[0]["headers"]}


def error_of(call: Call) -> tuple[int, str, str | None]:
    """Returns the status, the code and the time to retry after."""
    code: str = json.loads(call.body)["error"]["code"]
    return status_of(call), code, headers_of(call).get("retry-after")


@EVERY_WAY
async def test_a_request_waits_for_its_models(way: str) -> None:
    """It got 503 at once, which curl saved as speech.wav."""
    async with open_loading() as harness:
        server = harness.server
        call, task = begin(harness, way)
        await wait_for(lambda: server.runtime.num_waiting == 1)
        health = json.loads((await get(harness, "/health")).body)
        assert (health["status"], health["waiting_requests"]) == ("starting", 1)
        assert error_of(await get(harness, "/ready")) == (503, "engine_unavailable", "30")
        metrics = (await get(harness, "/metrics")).body.decode()
        assert 'orpheus_requests_active{state="queued"} 1.0' in metrics
        # It holds no engine slot.
        admission = server.runtime.admission
        assert (admission.num_running, admission.num_waiting, call.sent) == (0, 0, [])
        server.load()
        await task
        assert (status_of(call), call.is_whole) == (200, True)


async def test_the_wait_is_reported_in_the_header_and_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with open_loading() as harness:
        call, task = begin(harness)
        await wait_for(lambda: harness.server.runtime.num_waiting == 1)
        await asyncio.sleep(0.01)
        harness.server.load()
        await task
        queue_ms = int(headers_of(call)["x-orpheus-queue-ms"])
        assert queue_ms >= 10
        (line,) = [text for text in caplog.messages if "outcome=done" in text]
        fields = dict(field.split("=") for field in line.split())
        assert round(float(fields["queue_sec"]) * 1000) == queue_ms
        assert float(fields["total_sec"]) >= 0.01


@EVERY_WAY
async def test_a_request_that_waited_too_long(way: str) -> None:
    async with open_loading(Settings(tts_queue_wait_sec=0.01)) as harness:
        call, task = begin(harness, way)
        await task
        assert error_of(call) == (503, "engine_unavailable", "30")
        assert "x-should-retry" not in headers_of(call)


async def test_the_time_to_retry_after_follows_the_download() -> None:
    async with open_loading(NO_WAIT) as harness:
        clock = VirtualClock()
        harness.server.runtime.download = download = Download(clock)
        clock.advance(10)
        download.add_fetched(100)
        download.add_written(100, total_bytes=100)
        for total_bytes, expected in ((100, "30"), (300, "50"), (301, "51"), (10**6, "120")):
            download.add_written(0, total_bytes=total_bytes)
            call, task = begin(harness)
            await task
            # 10 bytes per second, and 30 s to load them.
            assert error_of(call) == (503, "engine_unavailable", expected)
            assert f"try again in {expected} s" in call.body.decode()


@EVERY_WAY
async def test_a_client_that_leaves_waits_no_longer(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_loading() as harness:
        server = harness.server
        call, task = begin(harness, way)
        await wait_for(lambda: server.runtime.num_waiting == 1)
        call.leave()
        await task
        assert server.runtime.num_waiting == 0
        server.load()
        await settle()
        assert server.engine.requests == []
        route = WAYS[way][0]
        metrics = (await get(harness, "/metrics")).body.decode()
        assert f'orpheus_disconnects_total{{route="{route}"}} 1.0' in metrics
        assert "caller=127.0.0.1 left while a model was loading" in caplog.text


@EVERY_WAY
async def test_stopping_ends_the_wait(way: str) -> None:
    async with open_loading() as harness:
        call, task = begin(harness, way)
        await wait_for(lambda: harness.server.runtime.num_waiting == 1)
        harness.server.runtime.begin_drain()
        await task
        assert error_of(call) == (503, "shutting_down", "10")
        assert headers_of(call)["connection"] == "close"


@EVERY_WAY
async def test_a_failure_to_load_ends_the_wait(way: str) -> None:
    async with open_loading() as harness:
        call, task = begin(harness, way)
        await wait_for(lambda: harness.server.runtime.num_waiting == 1)
        harness.server.runtime.fail(StartError("/srv/voice has no weights"))
        await task
        assert error_of(call) == (503, "engine_unavailable", "30")
        message = json.loads(call.body)["error"]["message"]
        assert message == "The server cannot start and is about to exit; its log says why."


@pytest.mark.parametrize(
    ("path", "fields", "status", "code"),
    [
        (SPEECH, {"input": None}, 400, "missing_required_parameter"),
        (SPEECH, {"input": 5}, 400, "invalid_value"),
        (SPEECH, {"input": " "}, 400, "nothing_to_speak"),
        (SPEECH, {"input": "x" * 40_000}, 400, "string_above_max_length"),
        (SPEECH, {"voice": "nobody"}, 400, "voice_not_found"),
        (SPEECH, {"model": "gpt-4"}, 404, "model_not_found"),
        (SPEECH, {"response_format": "midi"}, 400, "unsupported_response_format"),
        (SPEECH, {"stream": False, "stream_format": "sse"}, 400, "unsupported_value"),
        (TTS, {"prompt": " "}, 400, "nothing_to_speak"),
        (CHAT, {"message": " "}, 400, "invalid_value"),
        (CHAT, {"voice": "nobody"}, 400, "voice_not_found"),
        (CHAT, {"model": "gpt-4"}, 404, "model_not_found"),
        (COMPLETIONS, {**WRITTEN, "messages": []}, 400, "invalid_value"),
        (COMPLETIONS, {**WRITTEN, "model": "gpt-4"}, 404, "model_not_found"),
        ("/v1/nothing", {}, 404, "not_found"),
    ],
)
async def test_invalid_requests_do_not_wait(
    path: str, fields: dict[str, Any], status: int, code: str
) -> None:
    async with open_loading() as harness:
        call, task = post(harness, path, **fields)
        await task
        assert error_of(call) == (status, code, None)


async def test_a_body_that_is_not_json_does_not_wait() -> None:
    async with open_loading() as harness:
        call = Call(harness.app, {})
        await call.run(body=b"{")
        assert error_of(call) == (400, "invalid_json", None)


async def test_one_request_too_many_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_queue, "MAX_WAITING", 2)
    async with open_loading() as harness:
        held = [begin(harness) for _ in range(2)]
        await wait_for(lambda: harness.server.runtime.num_waiting == 2)
        call, task = begin(harness)
        await task
        assert error_of(call) == (503, "engine_unavailable", "30")
        harness.server.load()
        await asyncio.gather(*(task for _, task in held))
        assert [status_of(call) for call, _ in held] == [200, 200]


async def test_the_request_limit_of_a_caller() -> None:
    async with open_loading(Settings(tts_max_requests_per_key=1)) as harness:
        held, holding = begin(harness)
        await wait_for(lambda: harness.server.runtime.num_waiting == 1)
        call, task = begin(harness)
        await task
        assert error_of(call) == (429, "rate_limit_exceeded", "5")
        harness.server.load()
        await holding
        assert status_of(held) == 200


async def test_only_chats_wait_for_the_language_model() -> None:
    async with open_loading() as harness:
        speech = begin(harness)
        chats = [begin(harness, way) for way in WAYS if "chat" in way or "completion" in way]
        await wait_for(lambda: harness.server.runtime.num_waiting == 5)
        harness.server.load_voice()
        await speech[1]
        assert status_of(speech[0]) == 200
        assert harness.server.runtime.num_waiting == 4
        assert error_of(await get(harness, "/ready")) == (503, "engine_unavailable", "30")
        harness.server.load()
        await asyncio.gather(*(task for _, task in chats))
        assert [status_of(call) for call, _ in chats] == [200] * 4


class TestWebSocket:
    """Over a real server, whose handshake is an HTTP request."""

    @staticmethod
    async def until_held(served: ServedFakes) -> None:
        await wait_for(lambda: served.fakes.runtime.num_waiting == 1)

    async def test_a_handshake_waits(self) -> None:
        with ServedFakes(FakeServer(is_loaded=False)) as served:
            opening = asyncio.create_task(_open(served.socket_url))
            await self.until_held(served)
            served.run(_call(served.fakes.load))
            assert await opening == "session.started"
            assert served.fakes.runtime.num_waiting == 0

    async def test_a_client_that_leaves(self) -> None:
        with ServedFakes(FakeServer(is_loaded=False)) as served:
            opening = asyncio.create_task(_open(served.socket_url))
            await self.until_held(served)
            opening.cancel()
            await wait_for(lambda: served.fakes.runtime.num_waiting == 0)
            runtime = served.fakes.runtime
            await wait_for(lambda: runtime.services.session_slots.num_taken == 0)

    @pytest.mark.parametrize(
        ("wait_sec", "ends", "code"),
        [
            (0.01, lambda runtime: None, "engine_unavailable"),
            (20, lambda runtime: runtime.begin_drain(), "shutting_down"),
            (20, lambda runtime: runtime.fail(StartError("no weights")), "engine_unavailable"),
        ],
    )
    async def test_a_handshake_that_is_rejected(
        self, wait_sec: float, ends: Any, code: str
    ) -> None:
        settings = Settings.model_construct(tts_queue_wait_sec=wait_sec)
        with ServedFakes(FakeServer(is_loaded=False, settings=settings)) as served:
            opening = asyncio.create_task(_open(served.socket_url))
            if wait_sec > 1:
                await self.until_held(served)
                served.run(_call(lambda: ends(served.fakes.runtime)))
            with pytest.raises(InvalidStatus) as rejected:
                await opening
            response = rejected.value.response
            assert response.status_code == 503
            assert json.loads(response.body or b"")["error"]["code"] == code


async def _open(url: str) -> str:
    """Opens a session; returns the type of the server's first event."""
    async with connect(url) as session:
        await session.send(json.dumps({"type": "session.start"}))
        kind: str = json.loads(await session.recv())["type"]
        return kind


async def _call(function: Any) -> None:
    """Runs a function on the server's event loop."""
    function()
