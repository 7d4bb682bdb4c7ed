"""Requests that wait for a model to load."""

import asyncio

import pytest

from orpheus_server.errors import EngineDead, EngineNotReady, ShuttingDown
from orpheus_server.runtime import loading_queue as loading_queue_module
from orpheus_server.runtime.loading_queue import LoadingQueue, still_loading
from orpheus_server.synthesis.admission import MAX_WAITING
from tests.support.app import VirtualClock, settle

pytestmark = pytest.mark.anyio


class Loading:
    """A model that raises `error` until it is None."""

    def __init__(self) -> None:
        self.error: Exception | None = EngineNotReady("still loading", retry_after_sec=7)

    def __call__(self) -> str:
        if self.error is not None:
            raise self.error
        return "a model"


async def test_loaded_models_need_no_wait() -> None:
    model = Loading()
    model.error = None
    assert await LoadingQueue(max_wait_sec=0).wait(model, model) == 0.0


async def test_requests_wait_until_all_their_models_are_loaded() -> None:
    clock = VirtualClock()
    queue, voice, chat = LoadingQueue(max_wait_sec=20, clock=clock), Loading(), Loading()
    one = asyncio.create_task(queue.wait(voice))
    both = asyncio.create_task(queue.wait(voice, chat))
    await settle()
    assert queue.num_waiting == 2
    clock.advance(3)
    voice.error = None
    queue.notify()
    assert await one == 3.0
    await settle()
    assert (both.done(), queue.num_waiting) == (False, 1)
    clock.advance(2)
    chat.error = None
    queue.notify()
    assert await both == 5.0
    assert queue.num_waiting == 0


async def test_a_request_that_waited_too_long_gets_the_time_to_retry_of_then() -> None:
    queue, model = LoadingQueue(max_wait_sec=0.01), Loading()
    waiting = asyncio.create_task(queue.wait(model))
    await asyncio.sleep(0)
    model.error = EngineNotReady("still loading", retry_after_sec=3)
    with pytest.raises(EngineNotReady) as caught:
        await waiting
    assert caught.value.retry_after_sec == 3
    assert queue.num_waiting == 0


async def test_without_a_wait_the_error_comes_at_once() -> None:
    with pytest.raises(EngineNotReady, match="still loading"):
        await LoadingQueue(max_wait_sec=0).wait(Loading())


@pytest.mark.parametrize("error", [ShuttingDown("stopping"), EngineDead("gone"), ValueError("bug")])
async def test_any_other_error_ends_the_wait(error: Exception) -> None:
    queue, model = LoadingQueue(max_wait_sec=20), Loading()
    waiting = asyncio.create_task(queue.wait(model))
    await settle()
    model.error = error
    queue.notify()
    with pytest.raises(type(error)) as caught:
        await waiting
    assert caught.value is error
    assert queue.num_waiting == 0


async def test_a_request_that_is_cancelled_leaves() -> None:
    queue = LoadingQueue(max_wait_sec=20)
    waiting = asyncio.create_task(queue.wait(Loading()))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert queue.num_waiting == 0


async def test_the_number_of_waiting_requests_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_WAITING == 1000
    monkeypatch.setattr(loading_queue_module, "MAX_WAITING", 2)
    queue, model = LoadingQueue(max_wait_sec=20), Loading()
    waiting = [asyncio.create_task(queue.wait(model)) for _ in range(2)]
    await settle()
    with pytest.raises(EngineNotReady):
        await queue.wait(model)
    model.error = None
    # Those that find the model loaded are not too many.
    assert await queue.wait(model) == 0.0
    queue.notify()
    await asyncio.gather(*waiting)


async def test_still_loading() -> None:
    loading, loaded = Loading(), Loading()
    loaded.error = None
    assert still_loading(loaded) is None
    assert still_loading(loaded, loading) is loading.error
