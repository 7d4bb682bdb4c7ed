"""Overload, request time limits and draining."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orpheus_server.errors import EngineDead
from orpheus_server.fakes import Script
from orpheus_server.settings import load_settings
from orpheus_server.synthesis.retry import derive_seed
from tests.support.app import held_script, settle, wait_for
from tests.support.harness import SENTENCE, AppHarness, Call, open_harness, whole_script

pytestmark = pytest.mark.anyio

Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Sets settings by name."""

    def set_all(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return set_all


@asynccontextmanager
async def open_held() -> AsyncIterator[tuple[AppHarness, asyncio.Event]]:
    """An app whose speech pauses after ten frames until the gate is opened."""
    async with open_harness(load_settings()) as harness:
        gate = asyncio.Event()
        held = held_script(whole_script(), gate, num_free_frames=10)
        harness.server.engine.enqueue(*[held] * 100)
        yield harness, gate
        admission = harness.server.runtime.admission
        assert (admission.num_running, admission.num_waiting, admission.num_delivering) == (0, 0, 0)


def begin(
    harness: AppHarness, num: int, **fields: Any
) -> tuple[list[Call], list[asyncio.Task[None]]]:
    calls, tasks = zip(*(harness.begin(**fields) for _ in range(num)), strict=True)
    return list(calls), list(tasks)


def status_of(call: Call) -> int:
    status: int = call.sent[0]["status"]
    return status


def headers_of(call: Call) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in call.sent[0]["headers"]}


def error_of(call: Call) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(call.body)["error"]
    return error


class TestOverload:
    async def test_ten_times_the_capacity(self, environment: Environment) -> None:
        environment(TTS_MAX_STREAMS=2, TTS_QUEUE_WAIT_SEC=0)
        async with open_held() as (harness, gate):
            calls, tasks = begin(harness, 20)
            await wait_for(lambda: sum(bool(call.sent) for call in calls) == 20)
            rejected = [call for call in calls if status_of(call) != 200]
            assert [status_of(call) for call in rejected] == [503] * 18
            for call in rejected:
                error = error_of(call)
                assert error["type"] == "service_unavailable_error"
                assert (error["code"], error["param"]) == ("server_is_overloaded", None)
                assert headers_of(call)["retry-after"] == "3"
                assert headers_of(call)["x-request-id"].startswith("req_")
            assert harness.server.engine.num_active == 2
            gate.set()
            await asyncio.gather(*tasks)
            assert all(call.is_whole for call in calls)
            assert harness.server.runtime.admission.rejections == {"overloaded": 18}
            again, task = harness.begin()
            await task
            assert status_of(again) == 200

    @pytest.mark.parametrize("stream", [True, False])
    async def test_waiting_requests_are_served(
        self, environment: Environment, stream: bool
    ) -> None:
        environment(TTS_MAX_STREAMS=1)
        async with open_held() as (harness, gate):
            calls, tasks = begin(harness, 3, stream=stream)
            await wait_for(lambda: harness.server.engine.num_active == 1)
            await wait_for(lambda: harness.server.runtime.admission.num_waiting == 2)
            gate.set()
            await asyncio.gather(*tasks)
            assert [status_of(call) for call in calls] == [200] * 3
            assert harness.server.engine.max_active == 1
            assert int(headers_of(calls[2])["x-orpheus-queue-ms"]) >= 0

    async def test_streams_run_before_files(self, environment: Environment) -> None:
        environment(TTS_MAX_STREAMS=1)
        async with open_held() as (harness, gate):
            _, first = harness.begin()
            await wait_for(lambda: harness.server.engine.num_active == 1)
            _, file = harness.begin(stream=False, seed=1)
            await wait_for(lambda: harness.server.runtime.admission.num_waiting == 1)
            _, sse = harness.begin(stream_format="sse", seed=2)
            await wait_for(lambda: harness.server.runtime.admission.num_waiting == 2)
            gate.set()
            await asyncio.gather(first, file, sse)
            seeds = [request.seed for request in harness.server.engine.requests]
            assert seeds[1:] == [derive_seed(2, 0, 1), derive_seed(1, 0, 1)]

    async def test_a_client_disconnects_while_its_request_waits(
        self, environment: Environment
    ) -> None:
        """The request never reaches the engine."""
        environment(TTS_MAX_STREAMS=1)
        async with open_held() as (harness, gate):
            _, first = harness.begin()
            call, task = harness.begin(input=SENTENCE)
            await wait_for(lambda: harness.server.runtime.admission.num_waiting == 1)
            call.leave()
            await task
            assert harness.server.runtime.admission.num_waiting == 0
            gate.set()
            await first
            assert len(harness.server.engine.requests) == 1

    async def test_the_request_limit_of_a_caller(self, environment: Environment) -> None:
        environment(TTS_MAX_STREAMS=4, TTS_MAX_REQUESTS_PER_KEY=2)
        async with open_held() as (harness, gate):
            calls, tasks = begin(harness, 3)
            await wait_for(lambda: any(call.sent and status_of(call) == 429 for call in calls))
            rejected = next(call for call in calls if call.sent and status_of(call) == 429)
            error = error_of(rejected)
            assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
            assert headers_of(rejected)["retry-after"] == "5"
            gate.set()
            await asyncio.gather(*tasks)

    async def test_a_slot_is_released_once_generation_ends(self, environment: Environment) -> None:
        """A slow reader kept other requests waiting while the engine was idle."""
        environment(TTS_MAX_STREAMS=1)
        async with open_held() as (harness, gate):
            gate.set()
            slow, task = harness.begin()
            await wait_for(lambda: bool(slow.sent))
            slow.reads.clear()
            await wait_for(lambda: harness.server.runtime.admission.num_delivering == 1)
            assert harness.server.runtime.admission.num_running == 0
            quick, other = harness.begin()
            await other
            assert status_of(quick) == 200
            assert not task.done()
            slow.reads.set()
            await task

    async def test_a_full_server_is_not_ready(self, environment: Environment) -> None:
        environment(TTS_MAX_STREAMS=1, TTS_QUEUE_WAIT_SEC=0)
        async with open_held() as (harness, gate):
            _, task = harness.begin()
            await wait_for(lambda: harness.server.engine.num_active == 1)
            assert not harness.server.runtime.admission.is_open
            gate.set()
            await task
            harness.server.runtime.check_ready()

    async def test_the_engine_dies_while_requests_wait(self, environment: Environment) -> None:
        environment(TTS_MAX_STREAMS=1)
        async with open_harness(load_settings()) as harness:
            gate = asyncio.Event()
            dying = Script((), error=EngineDead("it died"), gate=gate)
            harness.server.engine.enqueue(dying)
            calls, tasks = begin(harness, 3)
            await wait_for(lambda: harness.server.runtime.admission.num_waiting == 2)
            gate.set()
            await asyncio.gather(*tasks)
            assert [status_of(call) for call in calls] == [503] * 3
            assert {error_of(call)["code"] for call in calls} == {"engine_unavailable"}


class TestTimeLimit:
    @pytest.mark.parametrize(
        "fields", [{"stream": False}, {}, {"stream_format": "sse"}], ids=["file", "raw", "sse"]
    )
    async def test_before_the_first_byte(
        self, environment: Environment, fields: dict[str, Any]
    ) -> None:
        environment(TTS_REQUEST_TIMEOUT_SEC=0.02)
        async with open_harness(load_settings()) as harness:
            harness.server.engine.enqueue(held_script(whole_script(), asyncio.Event()))
            call, task = harness.begin(**fields)
            await task
            assert status_of(call) == 504
            error = error_of(call)
            assert (error["type"], error["code"]) == ("server_error", "timeout")
            assert "0.02 s" in error["message"]
            assert headers_of(call)["x-should-retry"] == "false"

    async def test_in_the_middle_of_events(self, environment: Environment) -> None:
        environment(TTS_REQUEST_TIMEOUT_SEC=0.2)
        async with open_held() as (harness, _):
            call, task = harness.begin(stream_format="sse")
            await task
            assert status_of(call) == 200
            assert not call.is_whole
            last = json.loads(call.body.decode().rstrip().rpartition("data: ")[2])
            assert last["error"]["code"] == "timeout"

    async def test_in_the_middle_of_a_raw_body(self, environment: Environment) -> None:
        """A body with a regular end would look complete."""
        environment(TTS_REQUEST_TIMEOUT_SEC=0.2)
        async with open_held() as (harness, _):
            call, task = harness.begin()
            await task
            assert status_of(call) == 200
            assert len(call.body) > 4096
            assert not call.is_whole


class TestDraining:
    async def test_running_requests_finish_and_others_are_rejected(
        self, environment: Environment
    ) -> None:
        environment(TTS_MAX_STREAMS=1)
        async with open_held() as (harness, gate):
            running, first = harness.begin()
            await wait_for(lambda: harness.server.engine.num_active == 1)
            waiting, second = harness.begin()
            await wait_for(lambda: harness.server.runtime.admission.num_waiting == 1)
            harness.server.runtime.begin_drain()
            await second
            late, third = harness.begin()
            await third
            for call in (waiting, late):
                assert status_of(call) == 503
                assert error_of(call)["code"] == "shutting_down"
                assert headers_of(call)["connection"] == "close"
            gate.set()
            await first
            assert status_of(running) == 200
            assert running.is_whole
            await settle()
