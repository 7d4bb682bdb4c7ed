"""Watching, losing and replacing an engine, on a clock of the test's own."""

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
class Supervised:
    """A supervisor over engines that the test builds; `builds` are results of the next builds."""

    first: HandEngine = field(default_factory=HandEngine)
    clock: Clock = field(default_factory=Clock)
    builds: list[HandEngine | Exception] = field(default_factory=list)
    built: list[HandEngine] = field(default_factory=list)
    may_build: threading.Event = field(default_factory=threading.Event)
    num_given_up: int = 0
    may_restart: bool = True
    supervisor: EngineSupervisor = field(init=False)

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
            async with aclosing(self.supervisor.generate(request(name))) as deltas:
                return [delta async for delta in deltas]

        return asyncio.create_task(work())

    async def serves_again(self) -> float:
        return await self.clock.run_until(lambda: self.supervisor.state == "serving")


@asynccontextmanager
async def supervise(
    *, max_restarts: int = 5, first: HandEngine | None = None
) -> AsyncIterator[Supervised]:
    before = asyncio.all_tasks()
    supervised = Supervised(first or HandEngine())
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


async def test_deltas_pass_and_leaving_aborts() -> None:
    async with supervise() as supervised:
        supervisor, engine = supervised.supervisor, supervised.first
        assert (supervisor.state, supervisor.is_alive, supervisor.max_model_len) == (
            "serving",
            True,
            2048,
        )
        for delta in (WORD, WORD, END):
            engine.box("a").put_nowait(delta)
        assert await supervised.speak("a") == [WORD, WORD, END]
        engine.box("b").put_nowait(WORD)
        deltas = supervisor.generate(request("b"))
        assert await anext(deltas) == WORD
        assert (supervisor.num_active, engine.num_active) == (1, 1)
        await deltas.aclose()
        assert (supervisor.num_active, engine.num_active) == (0, 0)
    assert engine.ended == ["closed"]


async def test_a_death_that_one_generation_meets_ends_all_and_another_engine_serves() -> None:
    async with supervise() as supervised:
        supervisor = supervised.supervisor
        speaking = [supervised.speak(name) for name in "abc"]
        await settle()
        supervised.first.box("b").put_nowait(EngineDead("the core is gone"))
        with pytest.raises(EngineDead, match="the core is gone"):
            await speaking[1]
        # In the same moment, without a tick.
        assert (supervisor.is_alive, supervisor.state) == (False, "restarting")
        with pytest.raises(EngineDead, match="is being restarted"):
            await anext(supervisor.generate(request("d")))
        for each in (speaking[0], speaking[2]):
            with pytest.raises(EngineDead, match="has died or stalled"):
                await each
        assert supervised.clock.now == 0.0
        # A tick to see it, and one in which a server that is about to close would do so.
        assert await supervised.serves_again() == 2.0
        assert supervised.first.ended == ["killed", "closed"]
        assert supervised.built[0].probes == [21]
        assert (supervisor.num_restarts, dict(supervisor.num_deaths)) == (
            1,
            {"died": 1, "stalled": 0},
        )
        supervised.built[0].box("e").put_nowait(END)
        assert await supervised.speak("e") == [END]
    assert supervised.built[0].ended == ["closed"]
    assert supervised.num_given_up == 0


async def test_a_lost_engine_is_let_go() -> None:
    """A request that kept its error held it in a circle, with its threads and sockets, until a
    collection that behind a frozen heap may be hours away.
    """

    async def ask(supervisor: EngineSupervisor) -> None:
        kept_errors = []
        try:
            await anext(supervisor.generate(request("a")))
        except EngineDead as error:
            kept_errors.append(error)

    gc.disable()
    try:
        async with supervise() as supervised:
            lost = weakref.ref(supervised.first)
            supervised.first.box("a").put_nowait(EngineDead("the core is gone"))
            await ask(supervised.supervisor)
            supervised.first = HandEngine()
            assert lost() is not None
            await supervised.serves_again()
            await settle()
            assert lost() is None
    finally:
        gc.enable()


async def test_an_engine_that_dies_while_idle_is_started_again() -> None:
    async with supervise() as supervised:
        supervised.first.is_alive = False
        assert not supervised.supervisor.is_alive
        await supervised.clock.run(1.0)
        await supervised.serves_again()
        assert supervised.supervisor.num_deaths["died"] == 1


async def test_a_frozen_engine_ends_its_generations_in_time() -> None:
    """All requests hung for ever: vLLM says that it is healthy."""
    async with supervise() as supervised:
        speaking = [supervised.speak(name) for name in "abc"]
        supervised.first.box("a").put_nowait(WORD)
        took = await supervised.clock.run_until(lambda: supervised.supervisor.state == "restarting")
        assert STALL_SEC <= took <= STALL_SEC + 2
        for each in speaking:
            with pytest.raises(EngineDead):
                await each
        await supervised.serves_again()
        assert dict(supervised.supervisor.num_deaths) == {"died": 0, "stalled": 1}
        assert supervised.first.ended == ["killed", "closed"]


async def test_the_limit_counts_from_when_something_waits() -> None:
    async with supervise() as supervised:
        await supervised.clock.run(4.0)
        speaking = supervised.speak("a")
        await supervised.clock.run(STALL_SEC - 1)
        assert supervised.supervisor.is_alive
        await supervised.clock.run(3.0)
        assert supervised.supervisor.num_deaths["stalled"] == 1
        with pytest.raises(EngineDead):
            await speaking


async def test_a_long_generation_that_goes_on_is_no_stall() -> None:
    async with supervise() as supervised:
        speaking = supervised.speak("a")
        waiting = supervised.speak("waits-for-its-turn")
        for _ in range(20):
            await supervised.clock.run(STALL_SEC - 2)
            supervised.first.box("a").put_nowait(WORD)
        supervised.first.box("a").put_nowait(END)
        supervised.first.box("waits-for-its-turn").put_nowait(END)
        assert len(await speaking) == 21
        assert await waiting == [END]
        assert supervised.supervisor.num_deaths == {"died": 0, "stalled": 0}
        assert supervised.first.probes == []


async def test_a_listener_who_does_not_ask_is_no_stall() -> None:
    async with supervise() as supervised:
        supervised.first.box("a").put_nowait(WORD)
        async with aclosing(supervised.supervisor.generate(request("a"))) as deltas:
            await anext(deltas)
            await supervised.clock.run(10 * STALL_SEC)
            supervised.first.box("a").put_nowait(END)
            assert await anext(deltas) == END
        assert supervised.supervisor.num_restarts == 0


async def test_an_idle_hour_is_no_stall_and_costs_a_token_now_and_then() -> None:
    async with supervise() as supervised:
        await supervised.clock.run(3600.0)
        assert supervised.supervisor.num_restarts == 0
        # Five idle seconds and the tick that sees the answer.
        assert set(supervised.first.probes) == {1}
        assert len(supervised.first.probes) == 600
        assert supervised.supervisor.num_active == 0


async def test_an_engine_that_freezes_while_idle_is_found_out() -> None:
    async with supervise() as supervised:
        supervised.first.is_frozen = True
        took = await supervised.clock.run_until(
            lambda: supervised.supervisor.num_deaths["stalled"] == 1
        )
        assert took <= 5 + STALL_SEC + 2
        await supervised.serves_again()


async def test_callers_who_leave_one_after_the_other_do_not_hide_a_stall() -> None:
    async with supervise() as supervised:
        supervised.first.is_frozen = True
        for number in range(12):
            speaking = supervised.speak(str(number))
            await supervised.clock.run(2.0)
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
            # Its being lost passes: another engine may serve already, and stall in its turn.
            if supervised.supervisor.num_deaths["stalled"]:
                break
        assert supervised.supervisor.num_deaths["stalled"] == 1


async def test_a_process_that_was_stopped_itself_does_not_blame_its_engine() -> None:
    async with supervise() as supervised:
        speaking = supervised.speak("a")
        await supervised.clock.run(2.0)
        supervised.clock.now += 3600.0
        await supervised.clock.run(2.0)
        supervised.first.box("a").put_nowait(END)
        assert await speaking == [END]
        assert supervised.supervisor.num_restarts == 0


async def test_a_caller_ends_a_probe() -> None:
    """Beside it the last bits of the caller's logits would be others."""
    async with supervise() as supervised:
        supervised.first.is_frozen = True
        await supervised.clock.run_until(lambda: len(supervised.first.probes) == 1)
        await settle()
        assert supervised.first.num_active == 1
        supervised.first.box("a").put_nowait(END)
        assert await supervised.speak("a") == [END]
        assert supervised.first.num_active == 0
        assert supervised.supervisor.is_alive


async def test_what_was_not_asked_for_before_a_loss_does_not_come_after_it() -> None:
    async with supervise() as supervised:
        for name in "ab":
            supervised.first.box(name).put_nowait(WORD)
        async with aclosing(supervised.supervisor.generate(request("a"))) as deltas:
            await anext(deltas)
            supervised.first.is_alive = False
            await supervised.clock.run(1.0)
            await supervised.serves_again()
            with pytest.raises(EngineDead):
                await anext(deltas)
        assert supervised.supervisor.is_alive, "the old engine's end is not the new one's"
        assert supervised.supervisor.num_deaths["died"] == 1


async def test_an_engine_that_does_not_close_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifetime_module, "CLOSE_LIMIT_SEC", 0.0)
    first = HandEngine()
    first.on_close = asyncio.Event()
    async with supervise(first=first) as supervised:
        first.is_alive = False
        await supervised.clock.run(1.0)
        await supervised.serves_again()
        supervised.built[0].on_close = first.on_close
    assert supervised.built[0].ended == ["killed"]


async def test_a_start_that_fails_is_another_death_and_pauses_grow() -> None:
    async with supervise() as supervised:
        bad = HandEngine()
        bad.refusal = GenerationFailed("no kernel")
        supervised.builds += [StartError("no memory"), OSError("no device"), bad]
        supervised.first.is_alive = False
        await supervised.clock.run(1.0)
        await supervised.serves_again()
        assert supervised.clock.slept[1:5] == [1.0, 2.0, 4.0, 8.0]
        assert (supervised.supervisor.num_restarts, supervised.supervisor.num_deaths["died"]) == (
            4,
            4,
        )
        assert bad.ended == ["killed", "closed"]


@pytest.mark.parametrize("max_restarts", [0, 1, 3])
async def test_too_many_restarts_end_the_process(max_restarts: int) -> None:
    async with supervise(max_restarts=max_restarts) as supervised:
        supervised.builds += [StartError("no memory")] * 5
        supervised.first.is_alive = False
        await supervised.clock.run_until(lambda: supervised.supervisor.state == "failed")
        assert supervised.supervisor.num_restarts == max_restarts
        with pytest.raises(EngineDead):
            await supervised.speak("a")
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


async def test_restarts_that_lie_apart_go_on_for_ever() -> None:
    async with supervise(max_restarts=1) as supervised:
        for number in range(4):
            engine = [supervised.first, *supervised.built][-1]
            engine.is_alive = False
            await supervised.clock.run(1.0)
            await supervised.serves_again()
            assert supervised.supervisor.num_restarts == number + 1
            await supervised.clock.run(600.0)
        assert supervised.num_given_up == 0


async def test_failures_of_callers_are_checked_and_do_not_end_a_sound_engine() -> None:
    """Whoever finds a text that fails could end the engine for everybody."""
    async with supervise() as supervised:
        for number in range(30):
            supervised.first.box(str(number)).put_nowait(GenerationFailed("of this text"))
            with pytest.raises(GenerationFailed, match="of this text"):
                await supervised.speak(str(number))
        await supervised.clock.run(2.0)
        assert supervised.first.probes == [1]
        assert supervised.supervisor.num_restarts == 0


async def test_an_engine_that_fails_on_everything_is_lost() -> None:
    async with supervise() as supervised:
        supervised.first.refusal = GenerationFailed("an illegal address")
        for number in range(3):
            with pytest.raises(GenerationFailed):
                await supervised.speak(str(number))
        await supervised.clock.run_until(lambda: supervised.supervisor.num_deaths["died"] == 1)
        await supervised.serves_again()
        assert supervised.supervisor.is_alive


async def test_the_context_is_that_of_the_engine_that_serves() -> None:
    async with supervise() as supervised:
        supervised.builds.append(HandEngine(max_model_len=2000))
        supervised.first.is_alive = False
        await supervised.clock.run(1.0)
        await supervised.serves_again()
        assert supervised.supervisor.max_model_len == 2000


async def test_closing_while_an_engine_is_built_closes_it() -> None:
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


async def test_closing_ends_what_waits() -> None:
    async with supervise() as supervised:
        speaking = supervised.speak("a")
        await settle()
        await supervised.supervisor.close()
        with pytest.raises(EngineDead):
            await speaking


async def test_a_watch_that_fails_ends_the_process() -> None:
    """Nobody would be left to notice a hang."""
    async with supervise() as supervised:
        speaking = supervised.speak("a")
        await settle()
        del supervised.first.is_alive
        await supervised.clock.run_until(lambda: supervised.supervisor.state == "failed")
        assert supervised.num_given_up == 1
        with pytest.raises(EngineDead):
            await speaking
