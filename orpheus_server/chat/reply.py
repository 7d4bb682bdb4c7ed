"""The language model's reply while it is written: text for clients, chunks for the voice."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from orpheus_server.chat.filters import StopStringFilter
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import ChatModelFailed, ChatModelTimedOut
from orpheus_server.interfaces import ChatModel, FinishReason, ReplyDelta, ReplyRequest
from orpheus_server.text.boundaries import count_sentences
from orpheus_server.text.front_end import PreparedText
from orpheus_server.text.markdown.spoken_text import SpokenTextStream

RunText = Callable[[Callable[[], list[PreparedText]]], Awaitable[list[PreparedText]]]
"""Runs a method of a `SpokenTextStream` off the event loop."""

MAX_REPLY_CHARS = 100_000
"""Limit for memory, in case a server ignores `max_tokens`; replies are rarely longer."""


@dataclass(slots=True)
class ReplyStats:
    """Tokens and times of a reply so far; times are in seconds since it was requested."""

    num_prompt_tokens: int = 0
    num_tokens: int = 0
    first_token_sec: float | None = None
    last_token_sec: float | None = None
    first_chunk_sec: float | None = None
    num_sentences: int = 0
    finish_reason: FinishReason | None = None

    @property
    def tokens_per_sec(self) -> float:
        """The rate between the first and the last token; 0 with fewer than two tokens."""
        if self.first_token_sec is None or self.last_token_sec is None or self.num_tokens < 2:
            return 0.0
        took_sec = self.last_token_sec - self.first_token_sec
        return (self.num_tokens - 1) / took_sec if took_sec > 0 else 0.0


@dataclass(frozen=True, slots=True)
class ReplyChunker:
    """Cuts the text of a reply into chunks to speak; `run` calls the methods of `stream`."""

    stream: SpokenTextStream
    run: RunText


class Reply:
    """One reply. `open_reply` runs the model, which does not wait for the readers.

    Both generators end with the reply. After an error they first yield everything that was complete
    and then raise it; an unfinished sentence is not spoken.
    """

    def __init__(
        self, chunker: ReplyChunker | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stats = ReplyStats()
        self.started_at = clock()
        self.text = ""
        self.has_ended = False
        self._chunker = chunker
        self._clock = clock
        # None marks the end of both.
        self._deltas: asyncio.Queue[str | None] = asyncio.Queue()
        self._chunks: asyncio.Queue[PreparedText | None] = asyncio.Queue()
        self._error: Exception | None = None

    async def deltas(self) -> AsyncGenerator[str, None]:
        """Yields the text as the model writes it; for one reader."""
        while (text := await self._deltas.get()) is not None:
            yield text
        self._raise()

    async def chunks(self) -> AsyncGenerator[PreparedText, None]:
        """Yields the chunks to speak as they become complete; for one reader."""
        while (chunk := await self._chunks.get()) is not None:
            yield chunk
        self._raise()

    @property
    def num_left_out(self) -> int:
        """Number of parts that were left out as markup so far; 0 if the reply is not spoken."""
        return self._chunker.stream.num_left_out if self._chunker else 0

    @property
    def num_dropped_tags(self) -> int:
        """Number of dropped control tokens and tags that the voice lacks, so far."""
        return self._chunker.stream.num_dropped_tags if self._chunker else 0

    @property
    def num_dropped_symbols(self) -> int:
        """Number of letters and digits of parts that the voice cannot say, so far."""
        return self._chunker.stream.num_dropped_symbols if self._chunker else 0

    @property
    def has_nothing_to_speak(self) -> bool:
        """True if the reply was to be spoken and has ended without a chunk to speak."""
        is_over = self._chunker is not None and self.has_ended and self._error is None
        return is_over and self.stats.first_chunk_sec is None

    def forget_error(self) -> None:
        """Drops the error after the last read, because a session keeps its latest reply and the
        error's traceback would keep the failed engine alive.
        """
        self._error = None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    async def write(self, deltas: AsyncGenerator[ReplyDelta, None], stop: StopStringFilter) -> None:
        """Reads the model's text to its end."""
        is_cut = False
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    self._count(delta)
                    text = stop.feed(delta.text)
                    num_chars_left = MAX_REPLY_CHARS - len(self.text)
                    is_cut = len(text) > num_chars_left
                    await self._take(text[:num_chars_left])
                    if is_cut:
                        self.stats.finish_reason = "length"
                    elif stop.is_stopped:
                        self.stats.finish_reason = "stop"
                    if self.stats.finish_reason is not None:
                        break
            if self.stats.finish_reason is None:
                raise ChatModelFailed("The language model's answer ended early.")
            if not is_cut:
                await self._take(stop.flush())
            if self._chunker is not None:
                self._put_chunks(await self._chunker.run(self._chunker.stream.flush))
        except Exception as error:  # the edge of a task: the readers raise it
            self._error = error
        finally:
            self.has_ended = True
            self._deltas.put_nowait(None)
            self._chunks.put_nowait(None)

    def _count(self, delta: ReplyDelta) -> None:
        stats, now_sec = self.stats, self._clock() - self.started_at
        stats.num_tokens += delta.num_tokens
        if delta.num_tokens or delta.text:
            stats.last_token_sec = now_sec
            if stats.first_token_sec is None:
                stats.first_token_sec = now_sec
        stats.finish_reason = delta.finish_reason
        if delta.num_prompt_tokens is not None:
            stats.num_prompt_tokens = delta.num_prompt_tokens

    async def _take(self, text: str) -> None:
        if not text:
            return
        self.text += text
        self._deltas.put_nowait(text)
        if self._chunker is not None:
            self._put_chunks(await self._chunker.run(partial(self._chunker.stream.feed, text)))

    def _put_chunks(self, chunks: list[PreparedText]) -> None:
        if chunks and self.stats.first_chunk_sec is None:
            self.stats.first_chunk_sec = self._clock() - self.started_at
        for chunk in chunks:
            self.stats.num_sentences += count_sentences(chunk.text)
            self._chunks.put_nowait(chunk)


@asynccontextmanager
async def open_reply(
    model: ChatModel,
    request: ReplyRequest,
    *,
    chunker: ReplyChunker | None,
    timeout_sec: float,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Reply]:
    """Runs the model; leaving the block stops it. With `chunker` None the reply is not spoken."""
    reply = Reply(chunker, clock=clock)
    deltas = _in_time(model.reply(request), timeout_sec)
    writing = asyncio.create_task(reply.write(deltas, StopStringFilter(request.options.stop)))
    try:
        yield reply
    finally:
        await cancel_all([writing])
        reply.forget_error()


async def _in_time(
    deltas: AsyncGenerator[ReplyDelta, None], limit_sec: float
) -> AsyncGenerator[ReplyDelta, None]:
    """Yields the same deltas. Raises `ChatModelTimedOut` if one takes longer than the limit."""
    async with aclosing(deltas):
        while True:
            limit = asyncio.timeout(limit_sec)
            try:
                async with limit:
                    delta = await anext(deltas)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if limit.expired():
                    raise ChatModelTimedOut(
                        f"The language model wrote nothing for {limit_sec:g} s, the time limit."
                    ) from None
                raise
            yield delta
