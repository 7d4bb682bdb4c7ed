"""The answer to `POST /v1/audio/speech` while it is generated, and its log line."""

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field

from orpheus_server.api.answers.base64_stream import Base64Stream
from orpheus_server.api.requests.speech import ignored_fields_header, plan_job
from orpheus_server.api.schemas.speech import SpeechRequest
from orpheus_server.api.schemas.speech_events import (
    SpeechAudioDelta,
    SpeechAudioDone,
    SpeechAudioError,
    usage_of,
)
from orpheus_server.checkpoints.checkpoint import Voice
from orpheus_server.concurrency import pieces_within, within
from orpheus_server.errors import EngineUnavailable, OrpheusError, RateLimited
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.server.responses import Outcome, sse_event, with_error_event
from orpheus_server.synthesis.engine_slot import EngineSlot
from orpheus_server.synthesis.fair_queue import Lane
from orpheus_server.synthesis.job import SpeechJob, SpeechStats
from orpheus_server.text.chunking import ChunkPlan

logger = logging.getLogger(__name__)
_ROUTE = "/v1/audio/speech"


@dataclass(slots=True)
class SpeechAnswer:
    """An answer in progress, which logs one line when it ends."""

    body: SpeechRequest
    plan: ChunkPlan
    job: SpeechJob
    services: SpeechServices
    caller: str
    slot: EngineSlot
    opened: ExitStack
    """Holds the slot until the answer has been sent, since unsent audio takes memory."""

    started: float
    stats: SpeechStats = field(default_factory=SpeechStats)
    is_file: bool = field(default=False, init=False)
    """Whether the first bytes of `pieces` were all of them."""

    _first_sec: float = field(default=0.0, init=False)
    _is_ended: bool = field(default=False, init=False)

    async def whole(self) -> bytes:
        """Returns the speech as one file."""
        try:
            await self._wait_for_slot()
            work = self.services.synthesizer().collect(self.job, self.stats, self.slot)
            data = await within(self._limit_sec, work)
        except OrpheusError as error:
            self._fail(error)
            raise
        self._first_sec = time.perf_counter() - self.started
        return data

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yields the bytes of the speech as they are generated."""
        try:
            await self._wait_for_slot()
            synthesizer = self.services.synthesizer()
            made = synthesizer.stream(self.job, self.stats, self.slot, may_be_file=True)
            async with aclosing(pieces_within(self._limit_sec, made)) as pieces:
                async for piece in pieces:
                    if piece.data:
                        self.is_file = not self._first_sec and piece.chunk is None
                        self._first_sec = self._first_sec or time.perf_counter() - self.started
                        yield piece.data
        except OrpheusError as error:
            self._fail(error)
            raise

    async def _wait_for_slot(self) -> None:
        """Waits for the engine, if it is needed; this does not count towards the time limit."""
        if not self.plan.is_empty:
            await self.slot.wait()

    @property
    def _queue_sec(self) -> float:
        return self.slot.waited_sec

    @property
    def _limit_sec(self) -> float:
        return self.services.settings.tts_request_timeout_sec

    def events(self) -> AsyncGenerator[bytes, None]:
        """Yields the speech as events. An error after the first event is sent as an event, too."""
        return with_error_event(self._events(), lambda error: SpeechAudioError(error=error))

    async def _events(self) -> AsyncGenerator[bytes, None]:
        encoder = Base64Stream()
        async with aclosing(self.pieces()) as pieces:
            async for data in pieces:
                if text := encoder.feed(data):
                    yield sse_event(SpeechAudioDelta(audio=text))
        if text := encoder.flush():
            yield sse_event(SpeechAudioDelta(audio=text))
        usage, degraded_chunks = usage_of(self.stats), self.stats.degraded_chunks
        yield sse_event(SpeechAudioDone(usage=usage, degraded_chunks=degraded_chunks))

    def headers(self) -> dict[str, str]:
        """Returns the headers: all counts for a file, those of the text alone for a stream."""
        plan, stats = self.plan, self.stats
        counts = {
            "x-orpheus-degraded-chunks": len(stats.degraded_chunks),
            "x-orpheus-dropped-symbols": stats.num_dropped_symbols + plan.num_dropped_symbols,
            "x-orpheus-dropped-tags": plan.num_dropped_tags,
            "x-orpheus-left-out": plan.num_left_out,
        }
        headers = ignored_fields_header(self.body, self.job.params.voice, self.services)
        if plan.is_empty:
            headers["x-orpheus-nothing-to-speak"] = "true"
        headers["x-orpheus-queue-ms"] = str(round(self._queue_sec * 1000))
        return headers | {name: str(count) for name, count in counts.items() if count}

    def end(self, outcome: Outcome) -> None:
        """Gives the slot back and logs the line, once."""
        if self._is_ended:
            return
        self._is_ended = True
        self.opened.close()
        metrics = self.services.metrics
        metrics.count_utterance(_ROUTE, outcome)
        if outcome == "caller left":
            metrics.count_disconnect(_ROUTE)
        job, stats = self.job, self.stats
        elapsed_sec = time.perf_counter() - self.started
        audio_sec = stats.num_samples / self.services.checkpoint.sample_rate
        logger.info(
            "request=%s caller=%s outcome=%s voice=%s format=%s chunks=%d attempts=%d degraded=%d "
            "tokens=%d audio_sec=%.2f queue_sec=%.3f first_bytes_sec=%.3f total_sec=%.2f rtf=%.3f",
            job.request_id,
            self.caller,
            outcome.replace(" ", "_"),
            job.params.voice.name,
            job.params.response_format,
            stats.num_chunks,
            stats.num_attempts,
            len(stats.degraded_chunks),
            stats.num_output_tokens,
            audio_sec,
            self._queue_sec,
            self._first_sec,
            elapsed_sec,
            elapsed_sec / audio_sec if audio_sec else 0.0,
        )

    def _fail(self, error: OrpheusError) -> None:
        # A full server is not a fault.
        is_rejection = isinstance(error, EngineUnavailable | RateLimited)
        level = logging.INFO if is_rejection else logging.WARNING
        logger.log(level, "request=%s failed: %s", self.job.request_id, error)
        self.end("failed")


async def open_speech_answer(
    body: SpeechRequest,
    voice: Voice,
    services: SpeechServices,
    request_id: str,
    caller: str,
    *,
    lane: Lane,
    waited_sec: float,
) -> SpeechAnswer:
    """Plans a checked request and reserves a slot for it, which the answer's `end` gives back.

    It has waited for `waited_sec` already. Raises `RequestError` and the errors of admission and of
    the synthesizer.
    """
    started = time.perf_counter() - waited_sec
    with ExitStack() as stack:
        # Before any work on the text, so that a rejected caller learns of it without delay.
        reserved = services.admission.reserve(caller, lane, is_coming=True, waited_sec=waited_sec)
        slot = stack.enter_context(reserved)
        plan, job = await plan_job(body, voice, services, request_id)
        opened = stack.pop_all()
    return SpeechAnswer(body, plan, job, services, caller, slot, opened, started)
