"""Work that ends when its caller leaves."""

import asyncio

import pytest
from starlette.types import Message

from orpheus_server.disconnect import until_disconnect
from orpheus_server.errors import EngineDead
from tests.support.app import wait_for

pytestmark = pytest.mark.anyio


class Work:
    """Runs until it is told to end; knows how it ended."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.is_running = False
        self.was_cancelled = False

    async def run(self) -> str:
        self.is_running = True
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            # Closing takes a moment, and is waited for.
            await asyncio.sleep(0)
            self.was_cancelled = True
            raise
        finally:
            self.is_running = False
        return "done"


async def silence() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nothing ever comes")


async def test_the_result() -> None:
    work = Work()
    work.may_end.set()
    before = asyncio.all_tasks()
    assert await until_disconnect(silence, work.run()) == "done"
    assert asyncio.all_tasks() == before


async def test_the_caller_leaves() -> None:
    work = Work()
    messages = asyncio.Queue[Message]()
    before = asyncio.all_tasks()
    call = asyncio.create_task(until_disconnect(messages.get, work.run()))
    await wait_for(lambda: work.is_running)
    # The rest of a body is no reason to stop.
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await wait_for(messages.empty)
    assert not call.done()
    messages.put_nowait({"type": "http.disconnect"})
    assert await call is None
    assert work.was_cancelled
    assert asyncio.all_tasks() == before


async def test_done_and_gone_at_once_is_done() -> None:
    work = Work()
    work.may_end.set()
    messages = asyncio.Queue[Message]()
    messages.put_nowait({"type": "http.disconnect"})
    assert await until_disconnect(messages.get, work.run()) == "done"


async def test_a_failure_is_the_works_own() -> None:
    async def fail() -> None:
        raise EngineDead("the engine has died")

    before = asyncio.all_tasks()
    with pytest.raises(EngineDead, match="the engine has died"):
        await until_disconnect(silence, fail())
    assert asyncio.all_tasks() == before


async def test_cancelled_with_its_work() -> None:
    work = Work()
    before = asyncio.all_tasks()
    call = asyncio.create_task(until_disconnect(silence, work.run()))
    await wait_for(lambda: work.is_running)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert work.was_cancelled
    assert asyncio.all_tasks() == before
