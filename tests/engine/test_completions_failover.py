"""The whole app over scripted completion servers that die: which requests notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from orpheus_server.engine.completions_engine import CompletionsEngine
from orpheus_server.interfaces import TokenRequest
from orpheus_server.settings import Settings
from tests.support.app import (
    POCKET,
    WAIT_LIMIT_SEC,
    FakeServer,
    fitting_speech,
    kept_ids_of,
    wait_for,
)
from tests.support.completion_stub import CompletionStub, Play, Stream
from tests.support.completions_bench import REQUEST, build
from tests.support.harness import AppHarness, Call

pytestmark = pytest.mark.anyio


def ids_for(stream: Stream) -> tuple[int, ...]:
    """Returns what the model says after the ids that the prompt already has."""
    request: TokenRequest = replace(
        REQUEST, prompt_token_ids=tuple(stream.requested.body["prompt"])
    )
    kept = kept_ids_of(request)
    text = request.prompt_token_ids[: len(request.prompt_token_ids) - len(kept)]
    whole = fitting_speech(POCKET)(replace(request, prompt_token_ids=text)).token_ids
    return whole[len(kept) :]


async def speaks(stream: Stream) -> None:
    stream.send(*ids_for(stream))
    stream.finish()


def stops_after(num_ids: int, gate: asyncio.Event | None = None) -> Play:
    """Sends so many ids, and closes the connection when the gate opens."""

    async def play(stream: Stream) -> None:
        stream.send(*ids_for(stream)[:num_ids])
        if gate is not None:
            await stream.response.wait(gate)
        stream.response.close()

    return play


@asynccontextmanager
async def open_app(engine: CompletionsEngine) -> AsyncIterator[AppHarness]:
    server = FakeServer(settings=Settings())
    server.engine = cast(Any, engine)
    app = server.build_app()
    async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
        yield AppHarness(server, app)
        assert engine.num_active == 0
    await engine.close()


async def say(harness: AppHarness) -> Call:
    """Returns a finished request."""
    call, task = harness.begin(stream_format="audio")
    await task
    return call


def status_of(call: Call) -> int:
    return int(call.sent[0]["status"])


@pytest.mark.parametrize("num_ids", [0, 3, 70, 200])
async def test_no_request_notices_that_one_of_two_servers_dies(num_ids: int) -> None:
    """Eight at once, before or after their first audio: all of them get all samples."""
    first, second = CompletionStub(speaks), CompletionStub(speaks)
    gate = asyncio.Event()
    async with first.serve() as dying, second.serve() as other:
        engine = await build(dying.url, other.url)
        async with open_app(engine) as harness:
            undisturbed = (await say(harness)).body
            first.streams.clear()
            second.streams.clear()
            first.queue = [stops_after(num_ids, gate) for _ in range(8)]
            calls = [harness.begin(stream_format="audio") for _ in range(8)]
            await wait_for(lambda: len(first.streams) >= 4)
            # The server dies: its port closes first.
            dying._server.close()
            gate.set()
            for call, task in calls:
                await task
                assert status_of(call) == 200
                assert call.is_whole
                assert call.body == undisturbed
            assert len(second.streams) == 8
            assert harness.server.runtime.counts.faults == {}
            assert harness.server.runtime.status == "healthy"
            assert (await say(harness)).body == undisturbed


@pytest.mark.parametrize("num_ids", [7, 140])
async def test_both_servers_lose_the_same_request(num_ids: int) -> None:
    """The retry policy starts the attempt again, or resumes it after what was heard."""
    first, second = CompletionStub(speaks), CompletionStub(speaks)
    async with first.serve() as one, second.serve() as two:
        engine = await build(one.url, two.url)
        async with open_app(engine) as harness:
            first.queue = [stops_after(num_ids)]
            second.queue = [stops_after(30)]
            call = await say(harness)
            assert (status_of(call), call.is_whole) == (200, True)
            assert harness.server.runtime.counts.faults == {"engine_error": 1}
            assert harness.server.runtime.counts.num_degraded_chunks == 0


async def test_the_only_server_dies_and_returns() -> None:
    """Requests that were heard are cut off, the others get 503; later ones are served again."""
    stub, gate = CompletionStub(speaks), asyncio.Event()
    async with stub.serve() as served:
        port = served.port
        engine = await build(served.url)
        harness_context = open_app(engine)
        harness = await harness_context.__aenter__()
        stub.queue = [stops_after(140, gate), stops_after(0, gate)]
        heard, heard_task = harness.begin(stream_format="audio")
        await wait_for(lambda: len(heard.body) > 0)
        silent, silent_task = harness.begin(stream_format="audio")
        await wait_for(lambda: len(stub.streams) == 2)
        served._server.close()
        gate.set()
        await asyncio.gather(heard_task, silent_task, return_exceptions=True)
        assert (status_of(heard), heard.is_whole) == (200, False)
        assert status_of(silent) == 503
    assert harness.server.runtime.status == "degraded"
    refused = await say(harness)
    assert status_of(refused) == 503
    async with CompletionStub(speaks).serve(port):
        for check in engine._checks.values():
            check.check_now()
        await wait_for(lambda: engine.is_alive)
        served_again = await say(harness)
        assert (status_of(served_again), served_again.is_whole) == (200, True)
        await harness_context.__aexit__(None, None, None)
