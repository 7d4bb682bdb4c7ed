"""An answer of the language model while it is written: text for readers, chunks for the voice."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from orpheus_server.chat.filters import StopStringFilter
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import ChatModelFailed, ChatModelTimedOut
from orpheus_server.interfaces import ChatModel, FinishReason, ReplyDelta, ReplyRequest
from orpheus_server.text.boundaries import count_sentences
from orpheus_server.text.chunk_stream import ChunkStream
from orpheus_server.text.markdown.stream import MarkdownToSpeech

RunText = Callable[[Callable[[], list[str]]], Awaitable[list[str]]]
"""Runs a step of a `ChunkStream` off the event loop."""

MAX_REPLY_CHARS = 100_000
"""A server that ignores `max_tokens` must not fill the memory; an answer is seldom longer."""


@dataclass(slots=True)
class ReplyStats:
    """What the model took so far, in seconds since the reply was asked for."""

    num_prompt_tokens: int = 0
    num_tokens: int = 0
    first_token_sec: float | None = None
    last_token_sec: float | None = None
    first_chunk_sec: float | None = None
    num_sentences: int = 0
    finish_reason: FinishReason | None = None

    @property
    def tokens_per_sec(self) -> float:
        """Between the first and the last token; 0 where there were no two."""
        if self.first_token_sec is None or self.last_token_sec is None or self.num_tokens < 2:
            return 0.0
        took_sec = self.last_token_sec - self.first_token_sec
        return (self.num_tokens - 1) / took_sec if took_sec > 0 else 0.0


@dataclass(slots=True)
class _Feed:
    """Text that waits for its reader; None is the end."""

    queue: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)

    def put(self, text: str) -> None:
        if text:
            self.queue.put_nowait(text)

    def end(self) -> None:
        self.queue.put_nowait(None)


class SpokenTextChunker:
    """What of an answer is spoken: markup left out, then cut into chunks, off the event loop."""

    def __init__(self, stream: ChunkStream, run: RunText, *, tags: frozenset[str]) -> None:
        self.stream = stream
        self.run = run
        self.to_speech = MarkdownToSpeech(tags=tags)

    def feed(self, text: str) -> list[str]:
        """The chunks that are certain now."""
        spoken_text = self.to_speech.feed(text)
        return self.stream.feed(spoken_text) if spoken_text else []

    def flush(self) -> list[str]:
        """Everything left."""
        return [*self.stream.feed(self.to_speech.flush()), *self.stream.flush()]


class Reply:
    """One answer; `open_reply` runs the model, which writes on whether or not anybody takes.

    Both generators end when the answer does, and raise what went wrong behind all that was written
    before it: the sentence that was being written is then not spoken.
    """

    def __init__(
        self, chunker: SpokenTextChunker | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stats = ReplyStats()
        self.started_at = clock()
        self.text = ""
        self.has_ended = False
        self._chunker = chunker
        self._clock = clock
        self._deltas, self._chunks = _Feed(), _Feed()
        self._error: Exception | None = None

    async def deltas(self) -> AsyncGenerator[str, None]:
        """The answer as the model writes it; for one reader."""
        while (text := await self._deltas.queue.get()) is not None:
            yield text
        self._raise()

    async def chunks(self) -> AsyncGenerator[str, None]:
        """What is to be spoken of it, each part once it is certain; for one speaker."""
        while (chunk := await self._chunks.queue.get()) is not None:
            yield chunk
        self._raise()

    def forget_error(self) -> None:
        """Nobody reads any more. Its traceback holds the engine that failed, and a session holds
        its latest reply for as long as it lasts.
        """
        self._error = None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    async def write(self, deltas: AsyncGenerator[ReplyDelta, None], stop: StopStringFilter) -> None:
        """Takes the model's text until it ends."""
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
                raise ChatModelFailed("The language model broke off in the middle of its answer.")
            if not is_cut:
                await self._take(stop.flush())
            if self._chunker is not None:
                self._put_chunks(await self._chunker.run(self._chunker.flush))
        except Exception as error:  # a task's edge: whoever takes the text raises it
            self._error = error
        finally:
            self.has_ended = True
            self._deltas.end()
            self._chunks.end()

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
        self._deltas.put(text)
        if self._chunker is not None:
            self._put_chunks(await self._chunker.run(partial(self._chunker.feed, text)))

    def _put_chunks(self, chunks: list[str]) -> None:
        if chunks and self.stats.first_chunk_sec is None:
            self.stats.first_chunk_sec = self._clock() - self.started_at
        for chunk in chunks:
            self.stats.num_sentences += count_sentences(chunk)
            self._chunks.put(chunk)


@asynccontextmanager
async def open_reply(
    model: ChatModel,
    request: ReplyRequest,
    *,
    chunker: SpokenTextChunker | None,
    timeout_sec: float,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Reply]:
    """An answer that is being written; leaving stops the model. `chunker` None: not spoken."""
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
    """The same deltas; raises `ChatModelTimedOut` when one of them lets wait too long."""
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
                        f"The language model wrote nothing for {limit_sec:g} s, which is the limit."
                    ) from None
                raise
            yield delta
