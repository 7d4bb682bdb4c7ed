"""Which chunks are generated now."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest

from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.chunk_scheduler import ChunkScheduler, ChunkTurn, RequestChunks
from tests.support.app import settle

pytestmark = pytest.mark.anyio


class FixedCapacity(Capacity):
    """A capacity that a test sets."""

    def __init__(self, num_streams: int, num_ahead: int) -> None:
        super().__init__(ceiling=256)
        self.numbers = num_streams, num_ahead

    @property
    def num_streams(self) -> int:
        return self.numbers[0]

    @property
    def num_ahead(self) -> int:
        return self.numbers[1]


class Chunk:
    """A chunk whose generation ends when the test says so."""

    def __init__(self, turn: ChunkTurn) -> None:
        self.turn = turn
        self.is_running = False
        self._may_end = asyncio.Event()
        self._task = asyncio.create_task(self._generate())

    async def _generate(self) -> None:
        async with self.turn:
            self.is_running = True
            await self._may_end.wait()
        self.is_running = False

    async def end_generation(self) -> None:
        """The chunk is not finished: its last frames are decoded."""
        self._may_end.set()
        await self._task
        await settle()

    async def end(self) -> None:
        await self.end_generation()
        self.turn.close()
        await settle()

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.turn.close()
        await settle()


async def begin(chunks: RequestChunks, num: int) -> list[Chunk]:
    begun = [Chunk(chunks.add()) for _ in range(num)]
    await settle()
    return begun


def running(chunks: list[Chunk]) -> list[int]:
    return [index for index, chunk in enumerate(chunks) if chunk.is_running]


class Player:
    """Whether it needs audio."""

    def __init__(self) -> None:
        self.is_dry = True

    def __call__(self) -> bool:
        return self.is_dry


class TestFiles:
    async def test_as_many_run_as_there_is_room_for_while_any_waits(self) -> None:
        """A chunk that found the engine busy waited for the one before it, and so did all later
        ones: of a file of 24 sentences one or two ran at a time.
        """
        scheduler = ChunkScheduler(FixedCapacity(4, 4))
        chunks = await begin(scheduler.open(), 10)
        order = [0, 3, 1, 2, 5, 4]
        for index in order:
            assert (scheduler.num_running, len(running(chunks))) == (4, 4)
            await chunks[index].end()
        assert running(chunks) == [6, 7, 8, 9]
        assert scheduler.num_waiting == 0

    async def test_the_place_is_free_while_the_last_frames_are_decoded(self) -> None:
        scheduler = ChunkScheduler(FixedCapacity(2, 2))
        chunks = await begin(scheduler.open(), 4)
        await chunks[0].end_generation()
        assert running(chunks) == [1, 2]
        await chunks[0].end()
        assert running(chunks) == [1, 2]

    async def test_two_files_share_the_room(self) -> None:
        """The second one's later chunks do not wait for all of the first one's."""
        scheduler = ChunkScheduler(FixedCapacity(4, 4))
        first = await begin(scheduler.open(), 6)
        second = await begin(scheduler.open(), 6)
        assert (running(first), running(second)) == ([0, 1, 2, 3], [0])
        await first[0].end()
        await first[1].end()
        assert (running(first), running(second)) == ([2, 3], [0, 1])

    async def test_they_run_up_to_the_capacity_while_there_are_streams(self) -> None:
        capacity = FixedCapacity(3, 6)
        scheduler, player = ChunkScheduler(capacity), Player()
        player.is_dry = False
        stream = scheduler.open(needs_audio=player)
        (heard,) = await begin(stream, 1)
        file = await begin(scheduler.open(), 8)
        assert running(file) == [0, 1]
        await heard.end()
        assert running(file) == [0, 1, 2, 3, 4, 5]


class TestStreams:
    async def test_the_first_chunk_of_each_request_runs_at_once(self) -> None:
        """Admission bounds the requests; here it would only delay their first sound."""
        scheduler = ChunkScheduler(FixedCapacity(2, 2))
        requests = [
            await begin(scheduler.open(needs_audio=player), 1)
            for player in (Player(), Player(), Player(), None)
        ]
        assert [running(each) for each in requests] == [[0]] * 4

    async def test_nothing_new_of_a_file_starts_while_a_player_waits(self) -> None:
        """A file that filled the engine delayed the first sound of every stream."""
        scheduler, player = ChunkScheduler(FixedCapacity(8, 8)), Player()
        file = await begin(scheduler.open(), 12)
        assert running(file) == list(range(8))
        (heard,) = await begin(scheduler.open(needs_audio=player), 1)
        await file[3].end()
        await file[5].end()
        assert (heard.is_running, running(file)) == (True, [0, 1, 2, 4, 6, 7])
        player.is_dry = False
        scheduler.update()
        await settle()
        assert running(file) == [0, 1, 2, 4, 6, 7, 8]

    async def test_one_of_a_file_runs_always(self) -> None:
        """A steady flow of streams would starve it."""
        scheduler = ChunkScheduler(FixedCapacity(1, 1))
        await begin(scheduler.open(needs_audio=Player()), 1)
        file = await begin(scheduler.open(), 3)
        assert running(file) == [0]
        await file[0].end()
        assert running(file) == [1]

    async def test_a_player_that_waits_for_text_holds_nothing_up(self) -> None:
        """A reply of a language model may pause for seconds."""
        scheduler = ChunkScheduler(FixedCapacity(4, 4))
        scheduler.open(needs_audio=Player())
        assert running(await begin(scheduler.open(), 4)) == [0, 1, 2, 3]

    async def test_later_chunks_leave_room_for_other_streams(self) -> None:
        scheduler = ChunkScheduler(FixedCapacity(10, 10))
        chunks = await begin(scheduler.open(needs_audio=Player()), 9)
        assert running(chunks) == [0, 1, 2, 3, 4, 5, 6]

    async def test_the_next_chunk_is_due_when_this_one_is_nearly_made(self) -> None:
        """Otherwise the player runs dry between them if speech is generated just in time."""
        scheduler = ChunkScheduler(FixedCapacity(1, 1))
        chunks = await begin(scheduler.open(needs_audio=Player()), 4)
        assert running(chunks) == [0]
        chunks[0].turn.note_nearly_made()
        await settle()
        assert running(chunks) == [0, 1]
        chunks[1].turn.note_nearly_made()
        await chunks[0].end()
        assert running(chunks) == [1, 2]


class TestPauses:
    """Of files, while the player of a stream waits."""

    async def test_all_but_the_first_chunk_pause(self) -> None:
        scheduler, player = ChunkScheduler(FixedCapacity(4, 4)), Player()
        file = await begin(scheduler.open(), 6)
        assert not any(chunk.turn.must_pause for chunk in file)
        stream = scheduler.open(needs_audio=player)
        assert not any(chunk.turn.must_pause for chunk in file)
        (heard,) = await begin(stream, 1)
        assert [chunk.turn.must_pause for chunk in file] == [False, *[True] * 3, *[False] * 2]
        assert not heard.turn.must_pause
        player.is_dry = False
        scheduler.update()
        assert not any(chunk.turn.must_pause for chunk in file)

    async def test_a_paused_chunk_waits_and_is_resumed_before_later_ones(self) -> None:
        scheduler, player = ChunkScheduler(FixedCapacity(3, 3)), Player()
        request = scheduler.open()
        first, second, third = (request.add() for _ in range(3))
        events: list[str] = []
        second.on_start = partial(events.append, "start")
        second.on_pause = partial(events.append, "pause")
        stream = scheduler.open(needs_audio=player)
        async with first:
            async with second:
                turn = stream.add()
            assert (scheduler.num_running, events) == (1, ["start", "pause"])
            waiting = [asyncio.create_task(each.__aenter__()) for each in (third, second)]
            await settle()
            assert (scheduler.num_running, scheduler.num_waiting) == (1, 2)
            player.is_dry = False
            async with turn:
                await settle()
                assert (scheduler.num_running, events) == (3, ["start", "pause", "start"])
                assert not third.must_pause
            await asyncio.gather(*waiting)

    async def test_streams_do_not_pause(self) -> None:
        scheduler, player = ChunkScheduler(FixedCapacity(9, 9)), Player()
        player.is_dry = False
        chunks = await begin(scheduler.open(needs_audio=player), 4)
        await begin(scheduler.open(needs_audio=Player()), 1)
        assert not any(chunk.turn.must_pause for chunk in chunks)

    async def test_without_leave_nothing_pauses(self) -> None:
        """Paused chunks have other tokens, which `TTS_DETERMINISTIC` rules out."""
        scheduler = ChunkScheduler(FixedCapacity(4, 4), may_pause=False)
        file = await begin(scheduler.open(), 4)
        await begin(scheduler.open(needs_audio=Player()), 1)
        assert not any(chunk.turn.must_pause for chunk in file)

    async def test_the_halves_of_a_chunk_do_not_pause(self) -> None:
        scheduler = ChunkScheduler(FixedCapacity(4, 4))
        request = scheduler.open()
        await begin(request, 1)
        turn = request.add()
        async with turn, turn:
            await begin(scheduler.open(needs_audio=Player()), 1)
            assert not turn.must_pause
        turn.close()


class TestAttempts:
    async def test_later_ones_do_not_wait_again(self) -> None:
        scheduler = ChunkScheduler(FixedCapacity(1, 1))
        request = scheduler.open()
        turn = request.add()
        async with turn:
            pass
        async with AsyncExitStack() as both_halves:
            for _ in range(2):
                await both_halves.enter_async_context(turn)
            assert scheduler.num_running == 1
            (other,) = await begin(request, 1)
            assert not other.is_running
        await settle()
        assert other.is_running
        async with turn:
            assert scheduler.num_running == 2
        turn.close()
        await other.end()
        assert scheduler.num_running == 0

    async def test_only_the_start_is_reported(self) -> None:
        starts: list[int] = []
        scheduler = ChunkScheduler(FixedCapacity(1, 1))
        request = scheduler.open()
        turns = [request.add() for _ in range(2)]
        for index, turn in enumerate(turns):
            turn.on_start = partial(starts.append, index)
        async with turns[0]:
            waiting = asyncio.create_task(turns[1].__aenter__())
            await settle()
            assert starts == [0]
        async with turns[0]:
            pass
        await waiting
        assert starts == [0, 1]

    @pytest.mark.parametrize("is_waiting", [False, True])
    async def test_a_cancelled_chunk_leaves_nothing(self, is_waiting: bool) -> None:
        scheduler = ChunkScheduler(FixedCapacity(1, 1))
        chunks = await begin(scheduler.open(), 3)
        await chunks[is_waiting].cancel()
        assert (scheduler.num_running, scheduler.num_waiting) == (1, 1)
        await chunks[not is_waiting].end()
        await chunks[2].end()
        assert (scheduler.num_running, scheduler.num_waiting) == (0, 0)

    async def test_a_request_that_has_ended_is_forgotten(self) -> None:
        scheduler = ChunkScheduler(FixedCapacity(4, 4))
        stream = scheduler.open(needs_audio=Player())
        turn = stream.add()
        file = await begin(scheduler.open(), 4)
        assert running(file) == [0]
        stream.close()
        await settle()
        assert running(file) == [0, 1, 2, 3]
        turn.close()
