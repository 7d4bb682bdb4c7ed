"""An utterance of the client's own text, spoken while the text arrives."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from orpheus_server.api.realtime.events import STREAM_ROUTE
from orpheus_server.api.realtime.utterance import SessionContext, Utterance
from orpheus_server.concurrency import pieces_within
from orpheus_server.errors import OrpheusError
from orpheus_server.synthesis.job import SpeechJob, SpeechParams
from orpheus_server.synthesis.synthesizer import Synthesizer
from orpheus_server.text.chunking import blank_text
from orpheus_server.text.front_end import PreparedText

logger = logging.getLogger(__name__)

_SLICE_CHARS = 500
"""Text that is split in one call: its phonemes take a worker some 20 ms, and are then spoken."""


class TextUtterance(Utterance):
    """Splits its text into chunks as they become certain.

    `has_failed_early` is true if it failed before all of its text had arrived.
    """

    def __init__(
        self, index: int, params: SpeechParams, session: SessionContext, synthesizer: Synthesizer
    ) -> None:
        super().__init__(index, params, session)
        self.has_all_text = False
        self.has_failed_early = False
        self._synthesizer = synthesizer
        tags = session.services.checkpoint.tags_of(params.voice)
        self._stream = synthesizer.open_chunk_stream(
            tags=tags, markup=params.markup, is_spelled_out=params.is_spelled_out
        )
        self._chunks: asyncio.Queue[PreparedText | None] = asyncio.Queue()

    @property
    def num_chars(self) -> int:
        """Characters of text that have arrived so far."""
        return self._stream.num_chars

    @property
    def num_left_out(self) -> int:
        return self._stream.num_left_out

    async def feed(self, text: str) -> None:
        """Appends text, and queues the chunks that are certain now."""
        for start in range(0, len(text), _SLICE_CHARS):
            await self._split(partial(self._stream.feed, text[start : start + _SLICE_CHARS]))

    async def flush(self) -> None:
        """Queues the text that has arrived without waiting for more."""
        await self._split(self._stream.flush)

    async def end_text(self) -> None:
        if self.has_all_text:
            return
        # First, because the utterance may fail during the flush: there is no later text to drop.
        self.has_all_text = True
        await self.flush()
        self._chunks.put_nowait(None)

    async def speak(self) -> None:
        outcome = "cancelled"
        try:
            await self._send_audio()
            outcome = "done"
        except OrpheusError:
            outcome = "failed"
            raise
        finally:
            self._session.services.metrics.count_utterance(STREAM_ROUTE, outcome)
        logger.info(
            "request=%s outcome=done voice=%s format=%s chunks=%d attempts=%d degraded=%d "
            "tokens=%d samples=%d",
            self.request_id,
            self.params.voice.name,
            self.params.response_format,
            self.stats.num_chunks,
            self.stats.num_attempts,
            len(self.stats.degraded_chunks),
            self.stats.num_output_tokens,
            self.stats.num_samples,
        )

    async def fail(self, error: OrpheusError) -> None:
        await super().fail(error)
        if not self.has_all_text:
            self.has_all_text = self.has_failed_early = True

    async def _split(self, split: Callable[[], list[PreparedText]]) -> None:
        for chunk in await self._synthesizer.run_text(split):
            self._chunks.put_nowait(chunk)

    async def _take_chunks(self) -> AsyncGenerator[PreparedText, None]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

    async def _send_audio(self) -> None:
        services = self._session.services
        job = SpeechJob(self.request_id, self._take_chunks(), self.params)
        with services.admission.reserve(self._session.caller, "interactive") as slot:
            pieces = pieces_within(
                services.settings.tts_request_timeout_sec,
                services.synthesizer().stream(job, self.stats, slot),
                # Time spent waiting for the client's text is not the server's.
                counts=lambda: self.has_all_text,
            )
            async with aclosing(pieces):
                await self.audio.send_all(pieces, self.stats)
        if self._stream.is_blank:
            raise blank_text()
