"""Watching, losing and replacing an engine, on a clock of the test's own."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from orpheus_server.engine import supervisor
from orpheus_server.engine.supervisor import EngineKeeper
from orpheus_server.errors import EngineDead, GenerationFailed, StartError
from orpheus_server.interfaces import TokenDelta, TokenEngine, TokenRequest
from tests.support.app import POCKET, WAIT_LIMIT_SEC, settle

pytestmark = pytest.mark.anyio

WORD = TokenDelta((1,), None)
END = TokenDelta((2,), "stop")
STALL_SEC = 10.0


def request(name: str) -> TokenRequest:
    return TokenRequest(name, (1, 2, 3), POCKET.sampling, max_tokens=700, seed=1)


class HandEngine:
    """Gives what the test puts into a request's box, and waits for ever in between.

    Probes are answered by themselves unless it is frozen; with `refusal` every generation fails.
    """

    def __init__(self, *, max_model_len: int = 2048) -> None:
        self.max_model_len = max_model_len
        self.num_active = 0
        self.is_alive = True
        self.kv_cache_share = 0.0
        self.is_frozen = False
        self.refusal: Exception | None = None
        self.boxes: dict[str, asyncio.Queue[TokenDelta | Exception]] = {}
        self.probes: list[int] = []
        self.ended: list[str] = []
        self.on_close: asyncio.Event | None = None

    def box(self, name: str) -> asyncio.Queue[TokenDelta | Exception]:
        return self.boxes.setdefault(name, asyncio.Queue())

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        self.num_active += 1
        try:
            if self.refusal is not None:
                raise self.refusal
            if request.request_id == "probe":
                self.probes.append(request.max_tokens)
                if not self.is_frozen:
                    yield END
                    return
            while True:
                got = await self.box(request.request_id).get()
                if isinstance(got, Exception):
                    raise got
                yield got
                if got.finish_reason is not None:
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
    """Time that moves only when nothing else does."""

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
        """Seconds that have passed until it held; builds are threads, which take no time here."""
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
class Kept:
    """A keeper over engines that the test builds; `builds` are results of the next builds."""

    first: HandEngine = field(default_factory=HandEngine)
    clock: Clock = field(default_factory=Clock)
    builds: list[HandEngine | Exception] = field(default_factory=list)
    built: list[HandEngine] = field(default_factory=list)
    may_build: threading.Event = field(default_factory=threading.Event)
    num_given_up: int = 0
    keeper: EngineKeeper = field(init=False)

    def build(self) -> TokenEngine:
        assert threading.current_thread() is not threading.main_thread()
        self.may_build.wait(WAIT_LIMIT_SEC)
        result = self.builds.pop(0) if self.builds else HandEngine()
        if isinstance(result, Exception):
            raise result
        self.built.append(result)
        return result

    def give_up(self) -> None:
        self.num_given_up += 1

    async def make_probe(self) -> TokenRequest:
        return request("probe")

    def speak(self, name: str) -> asyncio.Task[list[TokenDelta]]:
        async def work() -> list[TokenDelta]:
            async with aclosing(self.keeper.generate(request(name))) as deltas:
                return [delta async for delta in deltas]

        return asyncio.create_task(work())

    async def serves_again(self) -> float:
        return await self.clock.run_until(lambda: self.keeper.state == "serving")


@asynccontextmanager
async def keep(*, max_restarts: int = 5, first: HandEngine | None = None) -> AsyncIterator[Kept]:
    before = asyncio.all_tasks()
    kept = Kept(first or HandEngine())
    kept.may_build.set()
    kept.keeper = EngineKeeper(
        kept.first,
        kept.build,
        probe=kept.make_probe,
        stall_sec=STALL_SEC,
        max_restarts=max_restarts,
        on_give_up=kept.give_up,
        clock=lambda: kept.clock.now,
        sleep=kept.clock.sleep,
    )
    async with kept.keeper:
        yield kept
    assert kept.keeper.num_active == 0
    assert not kept.keeper.is_alive
    assert asyncio.all_tasks() <= before, "a task has no owner"


async def test_deltas_pass_and_leaving_aborts() -> None:
    async with keep() as kept:
        keeper, engine = kept.keeper, kept.first
        assert (keeper.state, keeper.is_alive, keeper.max_model_len) == ("serving", True, 2048)
        for delta in (WORD, WORD, END):
            engine.box("a").put_nowait(delta)
        assert await kept.speak("a") == [WORD, WORD, END]
        engine.box("b").put_nowait(WORD)
        deltas = keeper.generate(request("b"))
        assert await anext(deltas) == WORD
        assert (keeper.num_active, engine.num_active) == (1, 1)
        await deltas.aclose()
        assert (keeper.num_active, engine.num_active) == (0, 0)
    assert engine.ended == ["closed"]


async def test_a_death_that_one_generation_meets_ends_all_and_another_engine_serves() -> None:
    async with keep() as kept:
        keeper = kept.keeper
        speaking = [kept.speak(name) for name in "abc"]
        await settle()
        kept.first.box("b").put_nowait(EngineDead("the core is gone"))
        with pytest.raises(EngineDead, match="the core is gone"):
            await speaking[1]
        # In the same moment, without a tick.
        assert (keeper.is_alive, keeper.state) == (False, "restarting")
        with pytest.raises(EngineDead, match="is being started again"):
            await anext(keeper.generate(request("d")))
        for each in (speaking[0], speaking[2]):
            with pytest.raises(EngineDead, match="was lost"):
                await each
        assert kept.clock.now == 0.0
        # A tick to see it, and one in which a server that is about to close would do so.
        assert await kept.serves_again() == 2.0
        assert kept.first.ended == ["killed", "closed"]
        assert kept.built[0].probes == [21]
        assert (keeper.num_restarts, dict(keeper.num_deaths)) == (1, {"died": 1, "stalled": 0})
        kept.built[0].box("e").put_nowait(END)
        assert await kept.speak("e") == [END]
    assert kept.built[0].ended == ["closed"]
    assert kept.num_given_up == 0


async def test_a_lost_engine_is_let_go() -> None:
    """A request that kept its error held it in a circle, with its threads and sockets, until a
    collection that behind a frozen heap may be hours away.
    """

    async def ask(keeper: EngineKeeper) -> None:
        kept_errors = []
        try:
            await anext(keeper.generate(request("a")))
        except EngineDead as error:
            kept_errors.append(error)

    gc.disable()
    try:
        async with keep() as kept:
            lost = weakref.ref(kept.first)
            kept.first.box("a").put_nowait(EngineDead("the core is gone"))
            await ask(kept.keeper)
            kept.first = HandEngine()
            assert lost() is not None
            await kept.serves_again()
            await settle()
            assert lost() is None
    finally:
        gc.enable()


async def test_an_engine_that_dies_while_idle_is_started_again() -> None:
    async with keep() as kept:
        kept.first.is_alive = False
        assert not kept.keeper.is_alive
        await kept.clock.run(1.0)
        await kept.serves_again()
        assert kept.keeper.num_deaths["died"] == 1


async def test_a_frozen_engine_ends_its_generations_in_time() -> None:
    """All requests hung for ever: vLLM says that it is healthy."""
    async with keep() as kept:
        speaking = [kept.speak(name) for name in "abc"]
        kept.first.box("a").put_nowait(WORD)
        took = await kept.clock.run_until(lambda: kept.keeper.state == "restarting")
        assert STALL_SEC <= took <= STALL_SEC + 2
        for each in speaking:
            with pytest.raises(EngineDead):
                await each
        await kept.serves_again()
        assert dict(kept.keeper.num_deaths) == {"died": 0, "stalled": 1}
        assert kept.first.ended == ["killed", "closed"]


async def test_the_limit_counts_from_when_something_waits() -> None:
    async with keep() as kept:
        await kept.clock.run(4.0)
        speaking = kept.speak("a")
        await kept.clock.run(STALL_SEC - 1)
        assert kept.keeper.is_alive
        await kept.clock.run(3.0)
        assert kept.keeper.num_deaths["stalled"] == 1
        with pytest.raises(EngineDead):
            await speaking


async def test_a_long_generation_that_goes_on_is_no_stall() -> None:
    async with keep() as kept:
        speaking = kept.speak("a")
        waiting = kept.speak("waits-for-its-turn")
        for _ in range(20):
            await kept.clock.run(STALL_SEC - 2)
            kept.first.box("a").put_nowait(WORD)
        kept.first.box("a").put_nowait(END)
        kept.first.box("waits-for-its-turn").put_nowait(END)
        assert len(await speaking) == 21
        assert await waiting == [END]
        assert kept.keeper.num_deaths == {"died": 0, "stalled": 0}
        assert kept.first.probes == []


async def test_a_listener_who_does_not_ask_is_no_stall() -> None:
    async with keep() as kept:
        kept.first.box("a").put_nowait(WORD)
        async with aclosing(kept.keeper.generate(request("a"))) as deltas:
            await anext(deltas)
            await kept.clock.run(10 * STALL_SEC)
            kept.first.box("a").put_nowait(END)
            assert await anext(deltas) == END
        assert kept.keeper.num_restarts == 0


async def test_an_idle_hour_is_no_stall_and_costs_a_token_now_and_then() -> None:
    async with keep() as kept:
        await kept.clock.run(3600.0)
        assert kept.keeper.num_restarts == 0
        # Five idle seconds and the tick that sees the answer.
        assert set(kept.first.probes) == {1}
        assert len(kept.first.probes) == 600
        assert kept.keeper.num_active == 0


async def test_an_engine_that_freezes_while_idle_is_found_out() -> None:
    async with keep() as kept:
        kept.first.is_frozen = True
        took = await kept.clock.run_until(lambda: kept.keeper.num_deaths["stalled"] == 1)
        assert took <= 5 + STALL_SEC + 2
        await kept.serves_again()


async def test_callers_who_leave_one_after_the_other_do_not_hide_a_stall() -> None:
    async with keep() as kept:
        kept.first.is_frozen = True
        for number in range(12):
            speaking = kept.speak(str(number))
            await kept.clock.run(2.0)
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
            if not kept.keeper.is_alive:
                break
        assert kept.keeper.num_deaths["stalled"] == 1


async def test_a_process_that_was_stopped_itself_does_not_blame_its_engine() -> None:
    async with keep() as kept:
        speaking = kept.speak("a")
        await kept.clock.run(2.0)
        kept.clock.now += 3600.0
        await kept.clock.run(2.0)
        kept.first.box("a").put_nowait(END)
        assert await speaking == [END]
        assert kept.keeper.num_restarts == 0


async def test_a_caller_ends_a_probe() -> None:
    """Beside it the last bits of the caller's logits would be others."""
    async with keep() as kept:
        kept.first.is_frozen = True
        await kept.clock.run_until(lambda: len(kept.first.probes) == 1)
        await settle()
        assert kept.first.num_active == 1
        kept.first.box("a").put_nowait(END)
        assert await kept.speak("a") == [END]
        assert kept.first.num_active == 0
        assert kept.keeper.is_alive


async def test_what_was_not_asked_for_before_a_loss_does_not_come_after_it() -> None:
    async with keep() as kept:
        for name in "ab":
            kept.first.box(name).put_nowait(WORD)
        async with aclosing(kept.keeper.generate(request("a"))) as deltas:
            await anext(deltas)
            kept.first.is_alive = False
            await kept.clock.run(1.0)
            await kept.serves_again()
            with pytest.raises(EngineDead):
                await anext(deltas)
        assert kept.keeper.is_alive, "the old engine's end is not the new one's"
        assert kept.keeper.num_deaths["died"] == 1


async def test_an_engine_that_does_not_close_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "END_LIMIT_SEC", 0.0)
    first = HandEngine()
    first.on_close = asyncio.Event()
    async with keep(first=first) as kept:
        first.is_alive = False
        await kept.clock.run(1.0)
        await kept.serves_again()
        kept.built[0].on_close = first.on_close
    assert kept.built[0].ended == ["killed"]


async def test_a_start_that_fails_is_another_death_and_pauses_grow() -> None:
    async with keep() as kept:
        bad = HandEngine()
        bad.refusal = GenerationFailed("no kernel")
        kept.builds += [StartError("no memory"), OSError("no device"), bad]
        kept.first.is_alive = False
        await kept.clock.run(1.0)
        await kept.serves_again()
        assert kept.clock.slept[1:5] == [1.0, 2.0, 4.0, 8.0]
        assert (kept.keeper.num_restarts, kept.keeper.num_deaths["died"]) == (4, 4)
        assert bad.ended == ["killed", "closed"]


@pytest.mark.parametrize("max_restarts", [0, 1, 3])
async def test_too_many_restarts_end_the_process(max_restarts: int) -> None:
    async with keep(max_restarts=max_restarts) as kept:
        kept.builds += [StartError("no memory")] * 5
        kept.first.is_alive = False
        await kept.clock.run_until(lambda: kept.keeper.state == "failed")
        assert kept.keeper.num_restarts == max_restarts
        with pytest.raises(EngineDead):
            await kept.speak("a")
        await settle()
        assert kept.num_given_up == 1


async def test_restarts_that_lie_apart_go_on_for_ever() -> None:
    async with keep(max_restarts=1) as kept:
        for number in range(4):
            engine = [kept.first, *kept.built][-1]
            engine.is_alive = False
            await kept.clock.run(1.0)
            await kept.serves_again()
            assert kept.keeper.num_restarts == number + 1
            await kept.clock.run(600.0)
        assert kept.num_given_up == 0


async def test_failures_of_callers_are_checked_and_do_not_end_a_sound_engine() -> None:
    """Whoever finds a text that fails could end the engine for everybody."""
    async with keep() as kept:
        for number in range(30):
            kept.first.box(str(number)).put_nowait(GenerationFailed("of this text"))
            with pytest.raises(GenerationFailed, match="of this text"):
                await kept.speak(str(number))
        await kept.clock.run(2.0)
        assert kept.first.probes == [1]
        assert kept.keeper.num_restarts == 0


async def test_an_engine_that_fails_on_everything_is_lost() -> None:
    async with keep() as kept:
        kept.first.refusal = GenerationFailed("an illegal address")
        for number in range(3):
            with pytest.raises(GenerationFailed):
                await kept.speak(str(number))
        await kept.clock.run_until(lambda: kept.keeper.num_deaths["died"] == 1)
        await kept.serves_again()
        assert kept.keeper.is_alive


async def test_the_context_is_that_of_the_engine_that_serves() -> None:
    async with keep() as kept:
        kept.builds.append(HandEngine(max_model_len=2000))
        kept.first.is_alive = False
        await kept.clock.run(1.0)
        await kept.serves_again()
        assert kept.keeper.max_model_len == 2000


async def test_closing_while_an_engine_is_built_closes_it() -> None:
    async with keep() as kept:
        kept.may_build.clear()
        kept.first.is_alive = False
        await kept.clock.run_until(lambda: kept.keeper.num_restarts == 1)
        closing = asyncio.create_task(kept.keeper.close())
        await settle()
        assert not closing.done()
        kept.may_build.set()
        await closing
        assert kept.built[0].ended == ["closed"]
        assert not kept.keeper.is_alive


async def test_closing_ends_what_waits() -> None:
    async with keep() as kept:
        speaking = kept.speak("a")
        await settle()
        await kept.keeper.close()
        with pytest.raises(EngineDead):
            await speaking


async def test_a_watch_that_fails_ends_the_process() -> None:
    """Nobody would be left to notice a hang."""
    async with keep() as kept:
        speaking = kept.speak("a")
        await settle()
        del kept.first.is_alive
        await kept.clock.run_until(lambda: kept.keeper.state == "failed")
        assert kept.num_given_up == 1
        with pytest.raises(EngineDead):
            await speaking
