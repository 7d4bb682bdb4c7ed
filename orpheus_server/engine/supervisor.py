"""One engine as long as the process runs: watched, and restarted when it dies or hangs."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Literal, Self

from orpheus_server.concurrency import cancel_all
from orpheus_server.engine.lifetime import EngineLifetime
from orpheus_server.engine.restart_budget import RestartBudget
from orpheus_server.engine.watchdog import NUM_FAILURES_IN_DOUBT, Verdict, Watchdog
from orpheus_server.errors import EngineDead
from orpheus_server.interfaces import TokenDelta, TokenEngine, TokenRequest

logger = logging.getLogger(__name__)

State = Literal["serving", "restarting", "failed"]
Death = Literal["died", "stalled"]

END_LIMIT_SEC = 20.0
"""For an old engine to end; the next one does not wait for it any longer."""

CHECK_LIMIT_SEC = 120.0
"""For the first words of a new engine, which may compile kernels for them."""

SPEECH_ENGINE, LANGUAGE_MODEL = "speech engine", "language model"


def being_restarted(label: str) -> str:
    """What callers are told meanwhile."""
    return f"The {label} is being started again; try again in half a minute."


BEING_RESTARTED = being_restarted(SPEECH_ENGINE)

CHECK_TOKENS = 21
"""Three frames: every slot of the mask, and a frame after the first."""


class EngineSupervisor:
    """A `TokenEngine` whose inner engine is replaced when it is lost.

    `build` blocks and runs in a thread; `probe` gives a short request that any sound engine can
    serve; `label` is its name in messages. `on_give_up` is called once, when more than
    `max_restarts` within ten minutes would be needed.
    """

    def __init__(
        self,
        engine: TokenEngine,
        build: Callable[[], TokenEngine],
        *,
        probe: Callable[[], Awaitable[TokenRequest]],
        stall_sec: float,
        max_restarts: int,
        on_give_up: Callable[[], None],
        may_restart: Callable[[], bool] = lambda: True,
        tick_sec: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        label: str = SPEECH_ENGINE,
    ) -> None:
        self._label = label
        self._lifetime = EngineLifetime(engine, self._on_death, label)
        self._build = build
        self._make_probe = probe
        self._stall_sec = stall_sec
        self._budget = RestartBudget(max_restarts, tick_sec)
        self._on_give_up = on_give_up
        self._may_restart = may_restart
        self._tick_sec = tick_sec
        self._clock = clock
        self._sleep = sleep
        self._state: State = "serving"
        self._num_active = 0
        self._num_restarts = 0
        self._num_deaths: dict[Death, int] = {"died": 0, "stalled": 0}
        self._watching: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None

    @property
    def max_model_len(self) -> int:
        """Of the engine that serves now: another one may have found less memory for its cache."""
        return self._lifetime.engine.max_model_len

    @property
    def num_active(self) -> int:
        """Generations of callers; probes are not counted."""
        return self._num_active

    @property
    def is_alive(self) -> bool:
        """False from the moment of a loss until another engine serves."""
        return self._lifetime.is_alive

    @property
    def state(self) -> State:
        """`failed` is the end: nothing is started any more."""
        return self._state

    @property
    def num_restarts(self) -> int:
        """Starts after the first one, failed ones too."""
        return self._num_restarts

    @property
    def kv_cache_share(self) -> float:
        """Of the engine that serves now."""
        return self._lifetime.engine.kv_cache_share

    @property
    def num_deaths(self) -> Mapping[Death, int]:
        """Losses by their kind; a start that failed is a death."""
        return self._num_deaths

    def open(self) -> None:
        """Begins to watch the engine."""
        self._watching = asyncio.create_task(self._watch())

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Deltas of the engine; raises `EngineDead` as soon as it is lost, whatever it does."""
        lifetime = self._lifetime
        if not self.is_alive:
            raise EngineDead(being_restarted(self._label))
        if self._probing is not None and lifetime.num_failures_in_row < NUM_FAILURES_IN_DOUBT:
            # It has become needless, and beside it the last bits of this one would be others.
            self._probing.cancel()
        self._num_active += 1
        try:
            async with aclosing(lifetime.generate(request)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self._num_active -= 1

    def kill(self) -> None:
        """Ends the inner engine at once; the watch takes it for a death."""
        self._lifetime.engine.kill()

    async def close(self) -> None:
        """Ends the watch and the engine, in bounded time; one that is being built is awaited."""
        self._lifetime.lose()
        tasks = [task for task in (self._watching, self._probing) if task is not None]
        await cancel_all(tasks)
        await self._end(self._lifetime.engine, is_lost=False)

    def _on_death(self, lifetime: EngineLifetime) -> None:
        self._lose(lifetime, "died")

    def _lose(self, lifetime: EngineLifetime, death: Death) -> None:
        if lifetime.is_lost:
            return
        self._state = "restarting"
        self._num_deaths[death] += 1
        logger.error("the %s %s with %d generations in it", self._label, death, self._num_active)
        lifetime.lose()

    async def _watch(self) -> None:
        try:
            while self._state != "failed":
                await self._watch_lifetime(self._lifetime)
                if self._may_restart():
                    await self._restart()
        except Exception:  # without the watch nothing would notice a hang
            logger.exception("the watch over the %s failed", self._label)
            self._give_up()

    async def _watch_lifetime(self, lifetime: EngineLifetime) -> None:
        """Returns at the first tick after the engine was lost."""
        watchdog = Watchdog(stall_sec=self._stall_sec, tick_sec=self._tick_sec)
        while True:
            await self._sleep(self._tick_sec)
            if not lifetime.is_alive:
                self._lose(lifetime, "died")
                return
            watchdog, verdict = watchdog.tick(
                num_deltas=lifetime.num_deltas,
                is_waiting=lifetime.is_waited_for,
                num_failures_in_row=lifetime.num_failures_in_row,
            )
            if verdict is Verdict.STALLED:
                self._lose(lifetime, "stalled")
                return
            is_probing = self._probing is not None and not self._probing.done()
            if verdict is Verdict.NEEDS_PROBE and not is_probing:
                self._probing = asyncio.create_task(self._probe(lifetime))

    async def _probe(self, lifetime: EngineLifetime) -> None:
        """One token. A frozen engine lets it wait, which the watch sees as it sees any wait."""
        try:
            request = replace(await self._make_probe(), max_tokens=1)
        except Exception:
            logger.exception("no probe could be made")
            return
        try:
            async with aclosing(lifetime.generate(request)) as deltas:
                async for _ in deltas:
                    pass
        except EngineDead:
            pass
        except Exception as error:
            logger.error("the %s fails on a sound request: %s", self._label, error)
            self._lose(lifetime, "died")

    async def _restart(self) -> None:
        await self._end(self._lifetime.engine, is_lost=True)
        while True:
            pause_sec = self._budget.take(self._clock())
            if pause_sec is None:
                self._give_up()
                return
            await self._sleep(pause_sec)
            if not self._may_restart():
                return
            started = self._clock()
            self._num_restarts += 1
            logger.warning("starting the %s again (restart %d)", self._label, self._num_restarts)
            try:
                engine = await self._build_checked_engine()
            except Exception as error:
                self._num_deaths["died"] += 1
                logger.error("the %s did not start again: %s", self._label, error)
                continue
            if engine.max_model_len < self.max_model_len:
                logger.warning("its context is shorter now: %d tokens", engine.max_model_len)
            self._lifetime = EngineLifetime(engine, self._on_death, self._label)
            self._state = "serving"
            # Requests that failed with the old one hold it in circles, with its threads and
            # sockets, and behind a frozen heap the next collection may be hours away.
            gc.collect()
            took_sec = self._clock() - started
            logger.warning("the %s serves again after %.1f s", self._label, took_sec)
            return

    async def _build_checked_engine(self) -> TokenEngine:
        building = asyncio.create_task(asyncio.to_thread(self._build))
        try:
            engine = await asyncio.shield(building)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it builds is closed.
            with suppress(Exception):
                await self._end(await building, is_lost=False)
            raise
        try:
            request = replace(await self._make_probe(), max_tokens=CHECK_TOKENS)
            async with asyncio.timeout(CHECK_LIMIT_SEC), aclosing(engine.generate(request)) as ids:
                async for _ in ids:
                    pass
        except BaseException:
            await self._end(engine, is_lost=True)
            raise
        return engine

    async def _end(self, engine: TokenEngine, *, is_lost: bool) -> None:
        try:
            async with asyncio.timeout(END_LIMIT_SEC):
                if is_lost:
                    await asyncio.to_thread(engine.kill)
                await engine.close()
        except Exception as error:
            logger.error("the old %s did not end as it should: %r", self._label, error)
            if not is_lost:
                await asyncio.to_thread(engine.kill)

    def _give_up(self) -> None:
        self._state = "failed"
        self._lifetime.lose()
        logger.critical("the %s is lost after %d restarts", self._label, self._num_restarts)
        self._on_give_up()
