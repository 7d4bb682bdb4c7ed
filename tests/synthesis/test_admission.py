"""Who may be spoken now, who waits, who is told to come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from orpheus_server.errors import EngineUnavailable, Overloaded, RateLimited, ShuttingDown
from orpheus_server.synthesis import admission as admission_module
from orpheus_server.synthesis.admission import Admission
from orpheus_server.synthesis.fair_queue import Lane
from tests.support.app import settle, wait_for

pytestmark = pytest.mark.anyio


class Crowd:
    """Requests by name, each a task that holds its ticket until it is told to go."""

    def __init__(
        self,
        num_streams: int = 2,
        *,
        max_wait_sec: float = 30.0,
        max_per_caller: int | None = None,
    ) -> None:
        self.num_streams = num_streams
        self.now = 0.0
        self.admission = Admission(
            lambda: self.num_streams,
            max_wait_sec=max_wait_sec,
            max_per_caller=max_per_caller,
            clock=lambda: self.now,
        )
        self.running: list[str] = []
        self.refused: dict[str, Exception] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leave: dict[str, asyncio.Event] = {}

    async def come(self, *names: str) -> None:
        """`a1` asks for a stream, `A1` (the same caller) for a file."""
        for name in names:
            self._leave[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._be(name))
        await settle()

    async def go(self, *names: str) -> None:
        """These have all they wanted."""
        for name in names:
            self._leave[name].set()
        await settle()

    async def hang_up(self, *names: str) -> None:
        """These leave, wherever they are."""
        for name in names:
            self._tasks[name].cancel()
        await settle()

    async def _be(self, name: str) -> None:
        lane: Lane = "bulk" if name[0].isupper() else "interactive"
        try:
            with self.admission.reserve(name[0].lower(), lane) as slot:
                slot.add_chunk()
                await slot.wait()
                self.running.append(name)
                try:
                    await self._leave[name].wait()
                finally:
                    self.running.remove(name)
        except (EngineUnavailable, RateLimited) as error:
            self.refused[name] = error

    async def end(self) -> None:
        await self.hang_up(*self._tasks)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        assert (self.admission.num_running, self.admission.num_waiting) == (0, 0)
        assert (self.admission.num_delivering, self.running) == (0, [])


@asynccontextmanager
async def crowd(
    num_streams: int = 2, *, max_wait_sec: float = 30.0, max_per_caller: int | None = None
) -> AsyncIterator[Crowd]:
    made = Crowd(num_streams, max_wait_sec=max_wait_sec, max_per_caller=max_per_caller)
    try:
        yield made
    finally:
        await made.end()


def retry_after(error: Exception) -> int:
    assert isinstance(error, Overloaded)
    return error.retry_after_sec


async def test_no_more_than_the_capacity() -> None:
    async with crowd(2) as them:
        await them.come("a1", "a2", "a3", "a4")
        assert them.running == ["a1", "a2"]
        assert (them.admission.num_running, them.admission.num_waiting) == (2, 2)
        await them.go("a1")
        assert them.running == ["a2", "a3"]
        await them.go("a2", "a3")
        assert them.running == ["a4"]


class TestEngineSlot:
    async def test_the_place_goes_back_with_the_last_chunk(self) -> None:
        them = Admission(lambda: 1, max_wait_sec=1)
        with them.reserve("a", "interactive") as slot:
            for _ in range(2):
                slot.add_chunk()
                await slot.wait()
            slot.end_chunk()
            assert (them.num_running, them.num_delivering) == (1, 0)
            slot.end_chunk()
            assert (them.num_running, them.num_delivering) == (0, 1)
            with them.reserve("a", "interactive") as other:
                await other.wait()
                assert (them.num_running, them.num_delivering) == (1, 1)
        assert (them.num_running, them.num_delivering) == (0, 0)

    async def test_going_on_is_before_all_newcomers(self) -> None:
        """One who paused for its reader or its writer is not sent to the end of the line."""
        async with crowd(1) as them:
            with them.admission.reserve("z", "interactive") as slot:
                await slot.wait()
                slot.add_chunk()
                slot.end_chunk()
                await them.come("a1", "a2", "a3")
                slot.add_chunk()
                going_on = asyncio.create_task(slot.wait())
                await settle()
                assert them.admission.num_waiting == 3
                await them.go("a1")
                await going_on
                assert them.running == []
                slot.end_chunk()
                await settle()
                assert them.running == ["a2"]

    async def test_going_on_is_never_refused(self) -> None:
        async with crowd(1, max_wait_sec=0) as them:
            with them.admission.reserve("z", "interactive") as slot:
                await slot.wait()
                slot.add_chunk()
                slot.end_chunk()
                await them.come("a1")
                slot.add_chunk()
                going_on = asyncio.create_task(slot.wait())
                await settle()
                them.admission.close()
                assert not going_on.done()
                await them.go("a1")
                await going_on

    async def test_two_chunks_wait_for_one_place(self) -> None:
        async with crowd(1) as them:
            await them.come("a1")
            with them.admission.reserve("z", "interactive") as slot:
                waiting = [asyncio.create_task(slot.wait()) for _ in range(2)]
                await settle()
                assert them.admission.num_waiting == 1
                await them.go("a1")
                await asyncio.gather(*waiting)
                assert them.admission.num_running == 1

    async def test_a_refusal_is_one_of_the_whole_request(self) -> None:
        async with crowd(1, max_wait_sec=0.01) as them:
            them.admission._estimate._hold_sec["interactive"] = 0.005
            await them.come("a1")
            with them.admission.reserve("z", "interactive") as slot:
                for _ in range(2):
                    with pytest.raises(Overloaded):
                        await slot.wait()
            assert them.admission.rejections == {"waited_too_long": 1}


async def test_streams_go_first() -> None:
    async with crowd(1) as them:
        await them.come("a1", "B1", "c1")
        await them.go("a1")
        assert them.running == ["c1"]
        await them.go("c1")
        assert them.running == ["B1"]


async def test_files_leave_room_for_streams() -> None:
    async with crowd(4) as them:
        await them.come("A1", "A2", "A3", "A4")
        assert them.running == ["A1", "A2", "A3"]
        await them.come("b1")
        assert them.running == ["A1", "A2", "A3", "b1"]
        await them.come("b2")
        await them.go("A1")
        assert them.running == ["A2", "A3", "b1", "b2"]
        await them.go("b1")
        assert them.running == ["A2", "A3", "b2", "A4"]


async def test_a_file_does_not_pass_files_that_wait() -> None:
    async with crowd(2) as them:
        await them.come("A1", "A2", "b1")
        assert them.running == ["A1", "b1"]


async def test_one_who_floods_does_not_keep_another_one_waiting() -> None:
    async with crowd(2) as them:
        await them.come(*(f"a{index}" for index in range(9)), "b1")
        await them.go("a0")
        assert them.running == ["a1", "b1"]


async def test_leaving_while_it_waits() -> None:
    async with crowd(1) as them:
        await them.come("a1", "a2", "a3")
        await them.hang_up("a2")
        assert them.admission.num_waiting == 1
        await them.go("a1")
        assert them.running == ["a3"]


async def test_leaving_in_the_moment_of_its_turn() -> None:
    """The place that it was given at that moment was lost for ever."""
    async with crowd(1) as them:
        await them.come("a1", "a2", "a3")
        them._leave["a1"].set()
        # a1 ends and calls a2, which is cancelled before it has noticed.
        await wait_for(lambda: them.admission.num_waiting == 1)
        them._tasks["a2"].cancel()
        await settle()
        assert them.running == ["a3"]


async def test_waiting_too_long() -> None:
    async with crowd(1, max_wait_sec=0.01) as them:
        them.admission._estimate._hold_sec["interactive"] = 0.005
        await them.come("a1", "a2")
        await them._tasks["a2"]
        assert retry_after(them.refused["a2"]) == 2
        assert them.admission.num_waiting == 0
        assert them.admission.rejections == {"waited_too_long": 1}


async def test_who_would_wait_too_long_learns_it_at_once() -> None:
    async with crowd(1, max_wait_sec=5) as them:
        # Each is expected to take two seconds.
        await them.come("a1", "a2", "a3", "a4", "a5")
        assert list(them.refused) == ["a4", "a5"]
        # Six seconds until a4 would have its turn: in one there is room for it.
        assert [retry_after(error) for error in them.refused.values()] == [1, 1]
        assert not them.admission.is_open or them.admission.num_waiting == 2
        assert them.admission.rejections == {"overloaded": 2}


async def test_the_time_to_come_back_is_computed() -> None:
    async with crowd(1, max_wait_sec=0) as them:
        await them.come("a1")
        for held_sec, expected in ((100, 8), (100, 14), (2000, 18)):
            them.now += held_sec
            await them.go("a1")
            await them.come("a1", "b1")
            # What one of them teaches is bounded: a single long one is soon forgotten.
            assert retry_after(them.refused["b1"]) == expected
            assert them.admission.num_waiting == 0
        # It has lasted 50 s by now, and will not be gone in 18.
        them.now += 50
        await them.come("c1")
        assert retry_after(them.refused["c1"]) == 50
        them.now += 500
        await them.come("d1")
        assert retry_after(them.refused["d1"]) == 120


async def test_a_fair_share_of_a_long_line() -> None:
    async with crowd(1, max_wait_sec=10) as them:
        await them.come(*(f"a{index}" for index in range(9)), "b1")
        # a0 runs, five wait for up to 10 s; b's turn comes after one of them.
        assert list(them.refused) == ["a6", "a7", "a8"]


async def test_the_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "MAX_WAITING", 3)
    async with crowd(1, max_wait_sec=1000) as them:
        await them.come("a1", "a2", "a3", "a4")
        await them.come("a5")
        assert list(them.refused) == ["a5"]
        # One who has less takes the place of the last one of whoever has most.
        await them.come("b1")
        assert list(them.refused) == ["a5", "a4"]
        assert retry_after(them.refused["a4"]) >= 1
        assert them.admission.num_waiting == 3
        await them.come("b2")
        assert list(them.refused) == ["a5", "a4", "b2"]


async def test_a_limit_of_each_caller() -> None:
    async with crowd(1, max_per_caller=2) as them:
        await them.come("a1", "a2", "a3", "b1")
        assert isinstance(them.refused.pop("a3"), RateLimited)
        assert them.refused == {}
        await them.go("a1")
        await them.come("a4")
        assert them.refused == {}
        assert them.admission.rejections == {"rate_limited": 1}


async def test_more_room_is_used_when_somebody_comes() -> None:
    async with crowd(1) as them:
        await them.come("a1", "a2")
        them.num_streams = 3
        await them.come("a3")
        assert sorted(them.running) == ["a1", "a2", "a3"]


async def test_less_room_takes_nothing_away() -> None:
    async with crowd(3) as them:
        await them.come("a1", "a2", "a3", "a4")
        them.num_streams = 1
        await them.go("a1")
        assert them.running == ["a2", "a3"]
        await them.go("a2", "a3")
        assert them.running == ["a4"]


async def test_closing() -> None:
    async with crowd(1) as them:
        await them.come("a1", "a2")
        assert them.admission.is_open
        them.admission.close()
        await them.come("a3")
        assert [type(them.refused[name]) for name in ("a2", "a3")] == [ShuttingDown] * 2
        assert them.running == ["a1"]
        assert not them.admission.is_open
        with pytest.raises(ShuttingDown):
            them.admission.check("b", "bulk")


async def test_asking_whether_it_is_open_rejects_nobody() -> None:
    async with crowd(1, max_wait_sec=0) as them:
        await them.come("a1")
        assert not them.admission.is_open
        assert them.admission.rejections == {}


async def test_a_crowd_that_comes_at_once_is_told_at_once() -> None:
    """All of it was planned first, which took the loop and the pool for seconds."""
    them = Admission(lambda: 2, max_wait_sec=2)
    reported = 0
    with ExitStack() as stack:
        turns = []
        for _ in range(20):
            try:
                slot = them.reserve("a", "interactive", is_coming=True)
                turns.append(stack.enter_context(slot))
            except Overloaded:
                reported += 1
        # Two have room, and a third would wait for three seconds.
        assert (len(turns), reported) == (2, 18)
        for each in turns:
            await each.wait()
        assert them.num_running == 2
    assert them.num_running == 0
    them.check("a", "interactive")


async def test_those_who_come_late_hold_up_no_other_caller() -> None:
    """Sixty answers that a slow language model had not begun closed an idle voice to everybody."""
    them = Admission(lambda: 4, max_wait_sec=30)
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(them.reserve("a", "interactive", is_coming=True))
        with pytest.raises(Overloaded):
            them.check("a", "interactive")
        them.check("b", "interactive")
        assert them.is_open
    them.check("a", "interactive")
