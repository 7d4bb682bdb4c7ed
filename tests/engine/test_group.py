"""The engines of one process are built one at a time and stop restarting together."""

import asyncio
import threading

import pytest

from orpheus_server.engine.group import EngineGroup
from orpheus_server.engine.supervisor import EngineSupervisor
from orpheus_server.errors import EngineDead, StartError
from orpheus_server.fakes import Script, ScriptedEngine
from orpheus_server.interfaces import SamplingOptions, TokenEngine, TokenRequest
from tests.support.app import wait_for

pytestmark = pytest.mark.anyio

SAMPLING = SamplingOptions(temperature=1.0, top_p=1.0, repetition_penalty=1.0)


async def test_a_build_waits_for_another_build() -> None:
    """Each counts the processes that start during its build as its own, and kills them later."""
    group, engine = EngineGroup(), ScriptedEngine(lambda request: Script((1,)))
    started: list[str] = []
    may_end = threading.Event()

    def build(name: str) -> TokenEngine:
        started.append(name)
        may_end.wait(10)
        return engine

    first = asyncio.create_task(asyncio.to_thread(group.alone(lambda: build("first"))))
    await wait_for(lambda: started == ["first"])
    second = asyncio.create_task(asyncio.to_thread(group.alone(lambda: build("second"))))
    await asyncio.sleep(0)
    assert started == ["first"]
    may_end.set()
    await asyncio.gather(first, second)
    assert started == ["first", "second"]


async def test_no_build_starts_once_the_server_stops() -> None:
    """A restart that waited for the other engine's build began after it, and delayed the stop."""
    group, engine = EngineGroup(), ScriptedEngine(lambda request: Script((1,)))
    has_started, may_end = threading.Event(), threading.Event()

    def build() -> TokenEngine:
        has_started.set()
        may_end.wait(10)
        return engine

    first = asyncio.create_task(asyncio.to_thread(group.alone(build)))
    await asyncio.to_thread(has_started.wait, 10)
    second = asyncio.create_task(
        asyncio.to_thread(group.alone(lambda: pytest.fail("another engine was built")))
    )
    group.stop_restarting()
    may_end.set()
    assert await first is engine
    with pytest.raises(StartError, match="the server is stopping"):
        await second


async def test_the_next_build_starts_after_a_failed_one() -> None:
    group, engine = EngineGroup(), ScriptedEngine(lambda request: Script((1,)))

    def fail() -> TokenEngine:
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        group.alone(fail)()
    assert group.alone(lambda: engine)() is engine


@pytest.mark.parametrize("is_supervised_later", [False, True])
async def test_no_engine_restarts_once_the_server_stops(is_supervised_later: bool) -> None:
    group, engine = EngineGroup(), ScriptedEngine(lambda request: Script((1,)))
    num_ticks = 0
    if is_supervised_later:
        group.stop_restarting()

    async def sleep(seconds: float) -> None:
        nonlocal num_ticks
        num_ticks += 1
        await asyncio.sleep(0)

    async def probe() -> TokenRequest:
        return TokenRequest("probe", (1,), SAMPLING, 1, 1)

    supervisor = EngineSupervisor(
        engine,
        lambda: pytest.fail("another engine was built"),
        probe=probe,
        stall_sec=30.0,
        max_restarts=5,
        on_give_up=lambda: pytest.fail("it gave up"),
        may_restart=lambda: group.may_restart,
        sleep=sleep,
    )
    group.stop_restarting()
    supervisor.open()
    try:
        engine.kill()
        await wait_for(lambda: supervisor.state == "restarting")
        num_ticks_at_loss = num_ticks
        await wait_for(lambda: num_ticks > num_ticks_at_loss + 3)
        assert supervisor.num_restarts == 0
    finally:
        await supervisor.close()


async def test_the_error_names_the_engine_that_is_restarted() -> None:
    """Chat requests failed with the message that the speech engine was being restarted."""
    engine = ScriptedEngine(lambda request: Script((1, 2), error=EngineDead("gone")))

    async def probe() -> TokenRequest:
        return TokenRequest("probe", (1,), SAMPLING, 1, 1)

    supervisor = EngineSupervisor(
        engine,
        lambda: engine,
        probe=probe,
        stall_sec=30.0,
        max_restarts=0,
        on_give_up=lambda: None,
        label="language model",
    )
    request = TokenRequest("r", (1,), SAMPLING, 5, 1)
    with pytest.raises(EngineDead, match="gone"):
        await anext(supervisor.generate(request))
    with pytest.raises(EngineDead) as caught:
        await anext(supervisor.generate(request))
    assert str(caught.value) == (
        "The language model is being restarted; try again in half a minute."
    )
