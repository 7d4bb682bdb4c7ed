"""A bound on the time that the server works on a request."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from orpheus_server.errors import RequestTimedOut
from orpheus_server.time_limit import pieces_within, within

pytestmark = pytest.mark.anyio

SHORT_SEC = 0.01
LONG_SEC = 1000.0


async def answer() -> int:
    return 7


async def hang(ended: list[str]) -> int:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("hang")
    return 0


async def raise_own() -> int:
    raise TimeoutError("another one")


async def count(
    num: int, ended: list[str], *, then_hang: bool = False
) -> AsyncGenerator[int, None]:
    try:
        for index in range(num):
            yield index
        if then_hang:
            await asyncio.Event().wait()
    finally:
        ended.append("count")


async def take(pieces: AsyncGenerator[int, None], taken: list[int]) -> None:
    async for piece in pieces:
        taken.append(piece)


class TestWithin:
    async def test_in_time(self) -> None:
        assert await within(LONG_SEC, answer()) == 7

    async def test_too_long(self) -> None:
        ended: list[str] = []
        with pytest.raises(RequestTimedOut, match=r"longer than 0\.01 s"):
            await within(SHORT_SEC, hang(ended))
        assert ended == ["hang"]

    async def test_other_timeouts_stay_what_they_are(self) -> None:
        with pytest.raises(TimeoutError, match="another one"):
            await within(LONG_SEC, raise_own())


class TestPieces:
    async def test_all_of_them(self) -> None:
        ended: list[str] = []
        assert [piece async for piece in pieces_within(LONG_SEC, count(3, ended))] == [0, 1, 2]
        assert ended == ["count"]

    async def test_what_was_made_in_time_is_given(self) -> None:
        ended: list[str] = []
        taken: list[int] = []
        with pytest.raises(RequestTimedOut):
            await take(pieces_within(SHORT_SEC, count(3, ended, then_hang=True)), taken)
        assert (taken, ended) == ([0, 1, 2], ["count"])

    async def test_the_taker_has_all_the_time_there_is(self) -> None:
        """A listener of half an hour of speech was cut off after ten minutes."""
        now = 0.0
        ended: list[str] = []
        pieces = pieces_within(1.0, count(5, ended), clock=lambda: now)
        async for _ in pieces:
            now += 100.0
        assert ended == ["count"]

    async def test_time_adds_up(self) -> None:
        now = 0.0

        async def slow() -> AsyncGenerator[int, None]:
            nonlocal now
            for index in range(9):
                now += 0.4
                await asyncio.sleep(0)
                yield index

        taken: list[int] = []
        with pytest.raises(RequestTimedOut):
            await take(pieces_within(1.0, slow(), clock=lambda: now), taken)
        assert taken == [0, 1, 2]

    async def test_what_waits_for_the_caller_is_not_counted(self) -> None:
        ended: list[str] = []
        pieces = pieces_within(0.0, count(3, ended), counts=lambda: False)
        assert [piece async for piece in pieces] == [0, 1, 2]

    async def test_closing_closes_what_is_behind(self) -> None:
        ended: list[str] = []
        pieces = pieces_within(LONG_SEC, count(3, ended))
        assert await anext(pieces) == 0
        await pieces.aclose()
        assert ended == ["count"]
