"""How an engine is watched, lost and replaced, on a simulated clock."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from orpheus_server.engine import lifetime as lifetime_module
from orpheus_server.engine.supervisor import EngineSupervisor
from orpheus_server.errors import EngineDead, GenerationFailed, StartError
from orpheus_server.interfaces import TokenDelta, TokenEngine, TokenRequest
from tests.support.app import POCKET, WAIT_LIMIT_SEC, settle

pytestmark = pytest.mark.anyio

DELTA = TokenDelta((1,), None)
END = TokenDelta((2,), "stop")
STALL_SEC = 10.0


def request(name: str) -> TokenRequest:
    return TokenRequest(name, (1, 2, 3), POCKET.sampling, max_tokens=700, seed=1)


class ManualEngine:
    """Yields the deltas that the test puts into a request's queue, and waits for more.

    Probes finish unless the engine is frozen. With `failure` every generation raises it.
    """

    def __init__(self, *, max_model_len: int = 2048) -> None:
        self.max_model_len = max_model_len
        self.num_active = 0
        self.is_alive = True
        self.kv_cache_share = 0.0
        self.is_frozen = False
        self.failure: Exception | None = None
        self.queues: dict[str, asyncio.Queue[TokenDelta | Exception]] = {}
        self.probes: list[int] = []
        self.ended: list[str] = []
        self.on_close: asyncio.Event | None = None

    def queue(self, name: str) -> asyncio.Queue[TokenDelta | Exception]:
        return self.queues.setdefault(name, asyncio.Queue())

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        self.num_active += 1
        try:
            if self.failure is not None:
                raise self.failure
            if request.request_id == "probe":
                self.probes.append(request.max_tokens)
                if not self.is_frozen:
                    yield END
                    return
            while True:
                item = await self.queue(request.request_id).get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if item.finish_reason is not None:
                    return
        finally:
            self.num_active -= 1

    def kill(self) -> None:
        self.ended.append("killed")
        self.is_alive = False

    async def close(self) -> None:
        if self.on_close is not None:
            await self.on_close.wait()
        self.ended.append("closed")
        self.is_alive = False


class Clock:
    """A clock that advances only when every task waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, sec: float) -> None:
        self.slept.append(sec)
        until: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + sec, until))
        await until

    async def run_until(self, condition: Callable[[], bool]) -> float:
        """Returns the simulated seconds until the condition held; builds take no time."""
        started = self.now
        async with asyncio.timeout(WAIT_LIMIT_SEC):
            while not condition():
                await settle()
                self._sleepers = [each for each in self._sleepers if not each[1].done()]
                if self._sleepers and not condition():
                    due, sleeper = min(self._sleepers, key=lambda each: each[0])
                    self.now = max(self.now, due)
                    sleeper.set_result(None)
        return self.now - started

    async def run(self, sec: float) -> None:
        end = self.now + sec
        await self.run_until(lambda: self.now >= end)
        await settle()


@dataclass
class Supervised:
    """A supervisor with its first engine; `builds` are the results of the next builds."""

    first: ManualEngine = field(default_factory=ManualEngine)
    clock: Clock = field(default_factory=Clock)
    builds: list[ManualEngine | Exception] = field(default_factory=list)
    built: list[ManualEngine] = field(default_factory=list)
    may_build: threading.Event = field(default_factory=threading.Event)
    num_given_up: int = 0
    may_restart: bool = True
    supervisor: EngineSupervisor = field(init=False)

    def build(self) -> TokenEngine:
        assert threading.current_thread() is not threading.main_thread()
        self.may_build.wait(WAIT_LIMIT_SEC)
        result = self.builds.pop(0) if self.builds else ManualEngine()
        if isinstance(result, Exception):
            raise result
        self.built.append(result)
        return result

    def give_up(self) -> None:
        self.num_given_up += 1

    async def make_probe(self) -> TokenRequest:
        return request("probe")

    def start(self, name: str) -> asyncio.Task[list[TokenDelta]]:
        async def collect() -> list[TokenDelta]:
            async with aclosing(self.supervisor.generate(request(name))) as deltas:
                return [delta async for delta in deltas]

        return asyncio.create_task(collect())

    async def run_until_serving(self) -> float:
        return await self.clock.run_until(lambda: self.supervisor.state == "serving")


@asynccontextmanager
async def supervise(
    *, max_restarts: int = 5, first: ManualEngine | None = None
) -> AsyncIterator[Supervised]:
    before = asyncio.all_tasks()
    supervised = Supervised(first or ManualEngine())
    supervised.may_build.set()
    supervised.supervisor = EngineSupervisor(
        supervised.first,
        supervised.build,
        probe=supervised.make_probe,
        stall_sec=STALL_SEC,
        max_restarts=max_restarts,
        on_give_up=supervised.give_up,
        may_restart=lambda: supervised.may_restart,
        clock=lambda: supervised.clock.now,
        sleep=supervised.clock.sleep,
    )
    supervised.supervisor.open()
    try:
        yield supervised
    finally:
        await supervised.supervisor.close()
    assert supervised.supervisor.num_active == 0
    assert not supervised.supervisor.is_alive
    assert asyncio.all_tasks() <= before, "a task has no owner"


async def test_deltas_are_passed_on_and_closing_aborts_the_generation() -> None:
    async with supervise() as supervised:
        supervisor, engine = supervised.supervisor, supervised.first
        assert (supervisor.state, supervisor.is_alive, supervisor.max_model_len) == (
            "serving",
            True,
            2048,
        )
        for delta in (DELTA, DELTA, END):
            engine.queue("a").put_nowait(delta)
        assert await supervised.start("a") == [DELTA, DELTA, END]
        engine.queue("b").put_nowait(DELTA)
        deltas = supervisor.generate(request("b"))
        assert await anext(deltas) == DELTA
        assert (supervisor.num_active, engine.num_active) == (1, 1)
        await deltas.aclose()
        assert (supervisor.num_active, engine.num_active) == (0, 0)
    assert engine.ended == ["closed"]


async def test_a_death_seen_by_one_generation_ends_all_and_the_engine_is_replaced() -> None:
    async with supervise() as supervised:
        supervisor = supervised.supervisor
        generations = [supervised.start(name) for name in "abc"]
        await settle()
        supervised.first.queue("b").put_nowait(EngineDead("the core is gone"))
        with pytest.raises(EngineDead, match="the core is gone"):
            await generations[1]
        # Immediately, without a tick.
        assert (supervisor.is_alive, supervisor.state) == (False, "restarting")
        with pytest.raises(EngineDead, match="is being restarted"):
            await anext(supervisor.generate(request("d")))
        for each in (generations[0], generations[2]):
            with pytest.raises(EngineDead, match="has died or stalled"):
                await each
        assert supervised.clock.now == 0.0
        # One tick to notice, and the first pause, in which a server that is stopping would close.
        assert await supervised.run_until_serving() == 2.0
        assert supervised.first.ended == ["killed", "closed"]
        assert supervised.built[0].probes == [21]
        assert (supervisor.num_restarts, dict(supervisor.num_deaths)) == (
            1,
            {"died": 1, "stalled": 0},
        )
        supervised.built[0].queue("e").put_nowait(END)
        assert await supervised.start("e") == [END]
    assert supervised.built[0].ended == ["closed"]
    assert supervised.num_given_up == 0


async def test_a_lost_engine_is_freed() -> None:
    """A request that kept its error held the engine, its threads and its sockets in a reference
    cycle until the next full collection, which after `gc.freeze` may be hours away.
    """

    async def fail_and_keep_the_error(supervisor: EngineSupervisor) -> None:
        kept_errors = []
        try:
            await anext(supervisor.generate(request("a")))
        except EngineDead as error:
            kept_errors.append(error)

    gc.disable()
    try:
        async with supervise() as supervised:
            lost = weakref.ref(supervised.first)
            supervised.first.queue("a").put_nowait(EngineDead("the core is gone"))
            await fail_and_keep_the_error(supervised.supervisor)
            supervised.first = ManualEngine()
            assert lost() is not None
            await supervised.run_until_serving()
            await settle()
            assert lost() is None
    finally:
        gc.enable()


async def test_an_engine_that_dies_while_idle_is_replaced() -> None:
    async with supervise() as supervised:
        supervised.first.is_alive = False
        assert not supervised.supervisor.is_alive
        await supervised.clock.run(1.0)
        await supervised.run_until_serving()
        assert supervised.supervisor.num_deaths["died"] == 1


async def test_the_generations_of_a_frozen_engine_end_in_time() -> None:
    """All requests hung for ever, because vLLM reports that it is healthy."""
    async with supervise() as supervised:
        generations = [supervised.start(name) for name in "abc"]
        supervised.first.queue("a").put_nowait(DELTA)
        took = await supervised.clock.run_until(lambda: supervised.supervisor.state == "restarting")
        assert STALL_SEC <= took <= STALL_SEC + 2
        for each in generations:
            with pytest.raises(EngineDead):
                await each
        await supervised.run_until_serving()
        assert dict(supervised.supervisor.num_deaths) == {"died": 0, "stalled": 1}
        assert supervised.first.ended == ["killed", "closed"]


async def test_the_stall_limit_counts_from_the_start_of_a_wait() -> None:
    async with supervise() as supervised:
        await supervised.clock.run(4.0)
        generation = supervised.start("a")
        await supervised.clock.run(STALL_SEC - 1)
        assert supervised.supervisor.is_alive
        await supervised.clock.run(3.0)
        assert supervised.supervisor.num_deaths["stalled"] == 1
        with pytest.raises(EngineDead):
            await generation


async def test_a_long_generation_that_progresses_is_not_a_stall() -> None:
    async with supervise() as supervised:
        generation = supervised.start("a")
        waiting = supervised.start("waits")
        for _ in range(20):
            await supervised.clock.run(STALL_SEC - 2)
            supervised.first.queue("a").put_nowait(DELTA)
        supervised.first.queue("a").put_nowait(END)
        supervised.first.queue("waits").put_nowait(END)
        assert len(await generation) == 21
        assert await waiting == [END]
        assert supervised.supervisor.num_deaths == {"died": 0, "stalled": 0}
        assert supervised.first.probes == []


async def test_a_slow_reader_is_not_a_stall() -> None:
    async with supervise() as supervised:
        supervised.first.queue("a").put_nowait(DELTA)
        async with aclosing(supervised.supervisor.generate(request("a"))) as deltas:
            await anext(deltas)
            await supervised.clock.run(10 * STALL_SEC)
            supervised.first.queue("a").put_nowait(END)
            assert await anext(deltas) == END
        assert supervised.supervisor.num_restarts == 0


async def test_an_idle_hour_is_not_a_stall_and_costs_one_token_per_probe() -> None:
    async with supervise() as supervised:
        await supervised.clock.run(3600.0)
        assert supervised.supervisor.num_restarts == 0
        # Each takes five idle seconds and the tick that sees its delta.
        assert set(supervised.first.probes) == {1}
        assert len(supervised.first.probes) == 600
        assert supervised.supervisor.num_active == 0


async def test_an_engine_that_freezes_while_idle_is_detected() -> None:
    async with supervise() as supervised:
        supervised.first.is_frozen = True
        took = await supervised.clock.run_until(
            lambda: supervised.supervisor.num_deaths["stalled"] == 1
        )
        assert took <= 5 + STALL_SEC + 2
        await supervised.run_until_serving()


async def test_callers_that_give_up_one_after_the_other_do_not_hide_a_stall() -> None:
    async with supervise() as supervised:
        supervised.first.is_frozen = True
        for number in range(12):
            generation = supervised.start(str(number))
            await supervised.clock.run(2.0)
            generation.cancel()
            await asyncio.gather(generation, return_exceptions=True)
            # Not `is_alive`: the next engine may serve already.
            if supervised.supervisor.num_deaths["stalled"]:
                break
        assert supervised.supervisor.num_deaths["stalled"] == 1


async def test_a_suspended_process_does_not_blame_its_engine() -> None:
    async with supervise() as supervised:
        generation = supervised.start("a")
        await supervised.clock.run(2.0)
        supervised.clock.now += 3600.0
        await supervised.clock.run(2.0)
        supervised.first.queue("a").put_nowait(END)
        assert await generation == [END]
        assert supervised.supervisor.num_restarts == 0


async def test_a_request_cancels_a_probe() -> None:
    """In a batch with it the last bits of the request's logits would differ."""
    async with supervise() as supervised:
        supervised.first.is_frozen = True
        await supervised.clock.run_until(lambda: len(supervised.first.probes) == 1)
        await settle()
        assert supervised.first.num_active == 1
        supervised.first.queue("a").put_nowait(END)
        assert await supervised.start("a") == [END]
        assert supervised.first.num_active == 0
        assert supervised.supervisor.is_alive


async def test_a_delta_not_read_before_a_loss_is_not_delivered_after_it() -> None:
    async with supervise() as supervised:
        for name in "ab":
            supervised.first.queue(name).put_nowait(DELTA)
        async with aclosing(supervised.supervisor.generate(request("a"))) as deltas:
            await anext(deltas)
            supervised.first.is_alive = False
            await supervised.clock.run(1.0)
            await supervised.run_until_serving()
            with pytest.raises(EngineDead):
                await anext(deltas)
        assert supervised.supervisor.is_alive, "the end of the old engine ended the new one"
        assert supervised.supervisor.num_deaths["died"] == 1


async def test_an_engine_that_does_not_close_delays_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifetime_module, "CLOSE_LIMIT_SEC", 0.0)
    first = ManualEngine()
    first.on_close = asyncio.Event()
    async with supervise(first=first) as supervised:
        first.is_alive = False
        await supervised.clock.run(1.0)
        await supervised.run_until_serving()
        supervised.built[0].on_close = first.on_close
    assert supervised.built[0].ended == ["killed"]


async def test_a_failed_start_counts_as_a_death_and_pauses_grow() -> None:
    async with supervise() as supervised:
        bad = ManualEngine()
        bad.failure = GenerationFailed("no kernel")
        supervised.builds += [StartError("no memory"), OSError("no device"), bad]
        supervised.first.is_alive = False
        await supervised.clock.run(1.0)
        await supervised.run_until_serving()
        assert supervised.clock.slept[1:5] == [1.0, 2.0, 4.0, 8.0]
        assert (supervised.supervisor.num_restarts, supervised.supervisor.num_deaths["died"]) == (
            4,
            4,
        )
        assert bad.ended == ["killed", "closed"]


@pytest.mark.parametrize("max_restarts", [0, 1, 3])
async def test_the_supervisor_gives_up_after_too_many_restarts(max_restarts: int) -> None:
    async with supervise(max_restarts=max_restarts) as supervised:
        supervised.builds += [StartError("no memory")] * 5
        supervised.first.is_alive = False
        await supervised.clock.run_until(lambda: supervised.supervisor.state == "failed")
        assert supervised.supervisor.num_restarts == max_restarts
        with pytest.raises(EngineDead):
            await supervised.start("a")
        await settle()
        assert supervised.num_given_up == 1


async def test_a_server_that_stops_before_the_restart_starts_no_engine() -> None:
    """Ctrl-C in a terminal ends the engine's processes before the server learns of it."""
    async with supervise() as supervised:
        supervised.first.is_alive = False
        await supervised.clock.run_until(lambda: supervised.first.ended == ["killed", "closed"])
        supervised.may_restart = False
        await supervised.clock.run(60.0)
        assert (supervised.supervisor.state, supervised.built) == ("restarting", [])
        assert supervised.num_given_up == 0


async def test_restarts_far_apart_are_not_limited() -> None:
    async with supervise(max_restarts=1) as supervised:
        for number in range(4):
            engine = [supervised.first, *supervised.built][-1]
            engine.is_alive = False
            await supervised.clock.run(1.0)
            await supervised.run_until_serving()
            assert supervised.supervisor.num_restarts == number + 1
            await supervised.clock.run(600.0)
        assert supervised.num_given_up == 0


async def test_failing_requests_lead_to_one_probe_and_do_not_end_a_healthy_engine() -> None:
    """Otherwise a caller with a text that fails could end the engine for all others."""
    async with supervise() as supervised:
        for number in range(30):
            supervised.first.queue(str(number)).put_nowait(GenerationFailed("bad text"))
            with pytest.raises(GenerationFailed, match="bad text"):
                await supervised.start(str(number))
        await supervised.clock.run(2.0)
        assert supervised.first.probes == [1]
        assert supervised.supervisor.num_restarts == 0


async def test_an_engine_that_fails_every_request_is_replaced() -> None:
    async with supervise() as supervised:
        supervised.first.failure = GenerationFailed("an illegal address")
        for number in range(3):
            with pytest.raises(GenerationFailed):
                await supervised.start(str(number))
        await supervised.clock.run_until(lambda: supervised.supervisor.num_deaths["died"] == 1)
        await supervised.run_until_serving()
        assert supervised.supervisor.is_alive


async def test_the_context_length_is_that_of_the_current_engine() -> None:
    async with supervise() as supervised:
        supervised.builds.append(ManualEngine(max_model_len=2000))
        supervised.first.is_alive = False
        await supervised.clock.run(1.0)
        await supervised.run_until_serving()
        assert supervised.supervisor.max_model_len == 2000


async def test_closing_during_a_build_closes_the_built_engine() -> None:
    async with supervise() as supervised:
        supervised.may_build.clear()
        supervised.first.is_alive = False
        await supervised.clock.run_until(lambda: supervised.supervisor.num_restarts == 1)
        closing = asyncio.create_task(supervised.supervisor.close())
        await settle()
        assert not closing.done()
        supervised.may_build.set()
        await closing
        assert supervised.built[0].ended == ["closed"]
        assert not supervised.supervisor.is_alive


async def test_closing_ends_waiting_generations() -> None:
    async with supervise() as supervised:
        generation = supervised.start("a")
        await settle()
        await supervised.supervisor.close()
        with pytest.raises(EngineDead):
            await generation


async def test_the_supervisor_gives_up_if_its_watch_fails() -> None:
    """Without the watch nothing would notice a hang."""
    async with supervise() as supervised:
        generation = supervised.start("a")
        await settle()
        del supervised.first.is_alive
        await supervised.clock.run_until(lambda: supervised.supervisor.state == "failed")
        assert supervised.num_given_up == 1
        with pytest.raises(EngineDead):
            await generation
