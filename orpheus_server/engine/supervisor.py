"""Watches an engine, and replaces it when it is lost because it died or stalled."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Literal

from orpheus_server.concurrency import cancel_all
from orpheus_server.engine.lifetime import EngineLifetime
from orpheus_server.engine.restart_budget import RestartBudget
from orpheus_server.engine.watchdog import NUM_FAILURES_IN_DOUBT, Watchdog
from orpheus_server.errors import EngineDead
from orpheus_server.interfaces import TokenDelta, TokenEngine, TokenRequest

logger = logging.getLogger(__name__)

Death = Literal["died", "stalled"]

TICK_SEC = 1.0
SPEECH_ENGINE, LANGUAGE_MODEL = "speech engine", "language model"


def being_restarted(label: str) -> str:
    """The error message for requests that arrive during a restart."""
    return f"The {label} is being restarted; try again in half a minute."


class EngineState(StrEnum):
    """`failed` is final: no more restarts."""

    SERVING = "serving"
    RESTARTING = "restarting"
    FAILED = "failed"


class EngineSupervisor:
    """A `TokenEngine` that replaces its inner engine whenever that is lost.

    `build` blocks and runs in a thread. `probe` builds a short request that any healthy engine can
    serve. `label` is the engine's name in messages. `on_give_up` is called once, when more than
    `max_restarts` restarts within ten minutes would be needed.

    `num_active` counts the generations of callers, not probes; `num_restarts` the starts after the
    first one; `num_deaths` the lost engines by cause. A failed start is a restart and a death.
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
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        label: str = SPEECH_ENGINE,
    ) -> None:
        self._label = label
        self._build = build
        self._make_probe = probe
        self._watchdog = Watchdog(stall_sec=stall_sec, tick_sec=TICK_SEC)
        self._budget = RestartBudget(max_restarts, first_pause_sec=TICK_SEC)
        self._on_give_up = on_give_up
        self._may_restart = may_restart
        self._clock = clock
        self._sleep = sleep
        self._lifetime = self._begin_lifetime(engine)
        self.state = EngineState.SERVING
        self.num_active = 0
        self.num_restarts = 0
        self.num_deaths: dict[Death, int] = {"died": 0, "stalled": 0}
        self._watching: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None

    @property
    def max_model_len(self) -> int:
        """Of the current engine: a new one may have found less memory for its cache."""
        return self._lifetime.engine.max_model_len

    @property
    def is_alive(self) -> bool:
        """False from the loss of an engine until the next one serves."""
        return self._lifetime.is_alive

    @property
    def kv_cache_share(self) -> float:
        return self._lifetime.engine.kv_cache_share

    def open(self) -> None:
        """Starts watching the engine."""
        self._watching = asyncio.create_task(self._watch())

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Yields the engine's deltas; raises `EngineDead` once it is lost, even if it hangs."""
        lifetime = self._lifetime
        if not lifetime.is_alive:
            raise EngineDead(being_restarted(self._label))
        if self._probing is not None and lifetime.num_failures_in_row < NUM_FAILURES_IN_DOUBT:
            # The request tests the engine too, and the last bits of its logits would differ if it
            # shared a batch with the probe.
            self._probing.cancel()
        self.num_active += 1
        try:
            async with aclosing(lifetime.generate(request)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self.num_active -= 1

    def kill(self) -> None:
        """Kills the inner engine; the next tick finds it dead."""
        self._lifetime.engine.kill()

    async def close(self) -> None:
        """Stops the watch and closes the engine in bounded time, after any build in progress."""
        self._lifetime.lose()
        await cancel_all(task for task in (self._watching, self._probing) if task is not None)
        await self._lifetime.close()

    def _begin_lifetime(self, engine: TokenEngine) -> EngineLifetime:
        on_death = partial(self._lose, death="died")
        return EngineLifetime(engine, self._watchdog, on_death, self._label)

    def _lose(self, lifetime: EngineLifetime, death: Death) -> None:
        if lifetime.is_lost:
            return
        self.state = EngineState.RESTARTING
        self.num_deaths[death] += 1
        logger.error("the %s %s with %d active generations", self._label, death, self.num_active)
        lifetime.lose()

    def _give_up(self) -> None:
        self.state = EngineState.FAILED
        self._lifetime.lose()
        logger.critical("the %s is lost after %d restarts", self._label, self.num_restarts)
        self._on_give_up()

    async def _watch(self) -> None:
        try:
            while self.state is not EngineState.FAILED:
                await self._sleep(TICK_SEC)
                self._tick(self._lifetime)
                if self.state is EngineState.RESTARTING and self._may_restart():
                    await self._restart()
        except Exception:  # without the watch nothing would notice a hang
            logger.exception("watching the %s failed", self._label)
            self._give_up()

    def _tick(self, lifetime: EngineLifetime) -> None:
        verdict = lifetime.tick()
        if not lifetime.is_alive:
            self._lose(lifetime, "died")
        elif verdict == "stalled":
            self._lose(lifetime, "stalled")
        elif verdict == "needs probe" and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._probe(lifetime))

    async def _probe(self, lifetime: EngineLifetime) -> None:
        """Generates one token. If the engine hangs, the watchdog sees the probe wait."""
        try:
            request = replace(await self._make_probe(), max_tokens=1)
        except Exception:
            logger.exception("cannot build a probe for the %s", self._label)
            return
        try:
            async with aclosing(lifetime.generate(request)) as deltas:
                async for _ in deltas:
                    pass
        except EngineDead:
            pass
        except Exception as error:
            logger.error("the %s fails on a valid request: %s", self._label, error)
            self._lose(lifetime, "died")

    async def _restart(self) -> None:
        """Returns when an engine serves, the budget is used up, or the server stops."""
        await self._lifetime.close(kill_first=True)
        while (pause_sec := self._budget.take(self._clock())) is not None:
            await self._sleep(pause_sec)
            if not self._may_restart():
                return
            started = self._clock()
            self.num_restarts += 1
            logger.warning("restarting the %s (restart %d)", self._label, self.num_restarts)
            try:
                lifetime = await self._build_checked()
            except Exception as error:
                self.num_deaths["died"] += 1
                logger.error("the %s did not restart: %s", self._label, error)
                continue
            if (max_model_len := lifetime.engine.max_model_len) < self.max_model_len:
                logger.warning("context of the %s is now %d tokens", self._label, max_model_len)
            self._lifetime, self.state = lifetime, EngineState.SERVING
            # Failed requests hold the old engine, its threads and its sockets in reference cycles,
            # and after `gc.freeze` the next full collection may be hours away.
            gc.collect()
            took_sec = self._clock() - started
            logger.warning("the %s serves again after %.1f s", self._label, took_sec)
            return
        self._give_up()

    async def _build_checked(self) -> EngineLifetime:
        building = asyncio.create_task(asyncio.to_thread(self._build))
        try:
            lifetime = self._begin_lifetime(await asyncio.shield(building))
        except asyncio.CancelledError:
            # The thread cannot be stopped, so the engine is closed once it is built.
            with suppress(Exception):
                await self._begin_lifetime(await building).close()
            raise
        try:
            await lifetime.check(await self._make_probe())
        except BaseException:
            await lifetime.close(kill_first=True)
            raise
        return lifetime
