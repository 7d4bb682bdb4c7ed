"""Engines of one process, built one at a time."""

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


async def test_a_build_waits_for_the_other_one() -> None:
    """Each takes the processes that came up meanwhile for its own, and kills them later."""
    group, engine = EngineGroup(), ScriptedEngine(lambda request: Script((1,)))
    begun: list[str] = []
    may_end = threading.Event()

    def build(name: str) -> TokenEngine:
        begun.append(name)
        may_end.wait(10)
        return engine

    first = asyncio.create_task(asyncio.to_thread(group.alone(lambda: build("first"))))
    await wait_for(lambda: begun == ["first"])
    second = asyncio.create_task(asyncio.to_thread(group.alone(lambda: build("second"))))
    await asyncio.sleep(0)
    assert begun == ["first"]
    may_end.set()
    await asyncio.gather(first, second)
    assert begun == ["first", "second"]


async def test_nothing_is_built_once_the_server_ends() -> None:
    """A restart that waited for the other engine began behind it, and the end waited for both."""
    group, engine = EngineGroup(), ScriptedEngine(lambda request: Script((1,)))
    has_begun, may_end = threading.Event(), threading.Event()

    def build() -> TokenEngine:
        has_begun.set()
        may_end.wait(10)
        return engine

    first = asyncio.create_task(asyncio.to_thread(group.alone(build)))
    await asyncio.to_thread(has_begun.wait, 10)
    second = asyncio.create_task(
        asyncio.to_thread(group.alone(lambda: pytest.fail("another engine was built")))
    )
    group.stop_restarting()
    may_end.set()
    assert await first is engine
    with pytest.raises(StartError, match="the server ends"):
        await second


async def test_a_build_that_fails_lets_the_next_one_in() -> None:
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
        seen = num_ticks
        await wait_for(lambda: num_ticks > seen + 3)
        assert supervisor.num_restarts == 0
    finally:
        await supervisor.close()


async def test_an_engine_is_called_what_it_is() -> None:
    """Callers of a chat were told that the speech engine was being started again."""
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
