"""A reply of the language model while it is written and spoken, with its log line and metrics."""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from orpheus_server.chat.conversation import arrange
from orpheus_server.chat.reply import Reply, ReplyChunker, open_reply
from orpheus_server.chat.reply_timings import ReplyTimings
from orpheus_server.chat.system_prompt import voice_prompt
from orpheus_server.checkpoints.checkpoint import Voice
from orpheus_server.concurrency import pieces_within, within
from orpheus_server.errors import EngineUnavailable, OrpheusError, RateLimited, RequestError
from orpheus_server.interfaces import ChatMessage, ReplyOptions, ReplyRequest
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.engine_slot import EngineSlot
from orpheus_server.synthesis.job import (
    SILENCE_SEC,
    AudioPiece,
    SpeechJob,
    SpeechParams,
    SpeechStats,
)
from orpheus_server.text.markdown.spoken_text import Markup

logger = logging.getLogger(__name__)


class SpokenReply:
    """A reply in progress, spoken if `pieces` or `whole` is used."""

    def __init__(
        self,
        request_id: str,
        reply: Reply,
        services: SpeechServices,
        params: SpeechParams | None,
        slot: EngineSlot | None,
        *,
        route: str,
        caller: str,
    ) -> None:
        self.reply = reply
        self.stats = SpeechStats()
        self.first_audio_sec: float | None = None
        self._request_id = request_id
        self._services = services
        self._params = params
        self._slot = slot
        self._route = route
        self._caller = caller
        self._is_reported = False

    async def pieces(
        self, *, silence_sec: float = SILENCE_SEC, counts: Callable[[], bool] = lambda: True
    ) -> AsyncGenerator[AudioPiece, None]:
        """Yields the speech, starting with the first sentence while the next ones are written.

        A reply without anything to speak is `silence_sec` of silence. Raises `RequestTimedOut` as
        `pieces_within` does.
        """
        services = self._services
        made = services.synthesizer().stream(self._job(silence_sec), self.stats, self._slot)
        limit_sec = services.settings.tts_request_timeout_sec
        async with aclosing(pieces_within(limit_sec, made, counts=counts)) as pieces:
            async for piece in pieces:
                if self.first_audio_sec is None and self.stats.num_samples:
                    self.first_audio_sec = time.monotonic() - self.reply.started_at
                yield piece

    async def whole(self) -> bytes:
        """Returns the speech as one file. Raises `RequestTimedOut` as `within` does."""
        services = self._services
        work = services.synthesizer().collect(self._job(SILENCE_SEC), self.stats, self._slot)
        data = await within(services.settings.tts_request_timeout_sec, work)
        if self.stats.num_samples:
            self.first_audio_sec = time.monotonic() - self.reply.started_at
        return data

    def _job(self, silence_sec: float) -> SpeechJob:
        assert self._params is not None
        chunks = self.reply.chunks()
        return SpeechJob(self._request_id, chunks, self._params, silence_sec)

    def text_headers(self) -> dict[str, str]:
        """Returns the headers about what of the text is not spoken; none until it is complete."""
        reply = self.reply
        if not reply.has_ended:
            return {}
        counts = {
            "x-orpheus-dropped-symbols": self.stats.num_dropped_symbols + reply.num_dropped_symbols,
            "x-orpheus-dropped-tags": reply.num_dropped_tags,
            "x-orpheus-left-out": reply.num_left_out,
        }
        headers = {name: str(count) for name, count in counts.items() if count}
        if reply.has_nothing_to_speak:
            headers["x-orpheus-nothing-to-speak"] = "true"
        return headers

    def report(self, outcome: str) -> None:
        """Logs one line and updates the metrics; later calls do nothing."""
        if self._is_reported:
            return
        self._is_reported = True
        metrics = self._services.metrics
        metrics.count_utterance(self._route, outcome)
        if outcome == "caller left":
            metrics.count_disconnect(self._route)
        timings = self.timings()
        metrics.observe_chat(timings)
        info, params, slot = self._services.chat_info(), self._params, self._slot
        logger.info(
            "request=%s caller=%s outcome=%s llm=%s voice=%s format=%s attempts=%d degraded=%d "
            "queue_sec=%.3f %s",
            self._request_id,
            self._caller,
            outcome.replace(" ", "_"),
            info.name if info else "-",
            params.voice.name if params else "-",
            params.response_format if params else "text",
            self.stats.num_attempts,
            len(self.stats.degraded_chunks),
            slot.waited_sec if slot else 0.0,
            timings.line(),
        )

    def timings(self) -> ReplyTimings:
        """Returns the times and counts so far."""
        model, speech = self.reply.stats, self.stats
        total_sec = time.monotonic() - self.reply.started_at
        speaking_sec = total_sec - (model.first_chunk_sec or 0.0)
        return ReplyTimings(
            num_prompt_tokens=model.num_prompt_tokens,
            num_tokens=model.num_tokens,
            tokens_per_sec=model.tokens_per_sec,
            first_token_sec=model.first_token_sec,
            last_token_sec=model.last_token_sec,
            first_audio_sec=self.first_audio_sec,
            num_sentences=model.num_sentences,
            chunk_secs=tuple(speech.chunk_secs),
            audio_sec=speech.num_samples / self._services.checkpoint.sample_rate,
            num_voice_tokens=speech.num_output_tokens,
            voice_tokens_per_sec=speech.num_output_tokens / speaking_sec if speaking_sec else 0.0,
            total_sec=total_sec,
        )


@asynccontextmanager
async def open_spoken_reply(
    services: SpeechServices,
    request_id: str,
    messages: Sequence[ChatMessage],
    options: ReplyOptions,
    *,
    params: SpeechParams | None,
    slot: EngineSlot | None,
    route: str,
    caller: str,
    voice: Voice | None = None,
    has_voice_prompt: bool = True,
) -> AsyncIterator[SpokenReply]:
    """A reply to these messages; leaving the block stops both models.

    With `params` None the reply is text only, written for `voice`. Raises `RequestError` for
    messages that no model can answer, and the errors of `chat_model` and `synthesizer`.
    """
    model = services.chat_model()
    chunker = None
    voice = params.voice if params else voice or services.checkpoint.default_voice
    tags = services.checkpoint.tags_of(voice)
    if params is not None:
        synthesizer = services.synthesizer()
        is_plain = params.markup is Markup.PLAIN
        stream = synthesizer.open_chunk_stream(
            tags=tags,
            markup=Markup.PLAIN if is_plain else Markup.CHAT,
            is_spelled_out=params.is_spelled_out,
        )
        chunker = ReplyChunker(stream, synthesizer.run_text)
    own = services.settings.llm_system_prompt or voice_prompt(language=voice.language, tags=tags)
    arranged = arrange(messages, default_system=own if has_voice_prompt else None)
    request = ReplyRequest(request_id, arranged, options)
    timeout_sec = services.settings.llm_timeout_sec
    async with open_reply(model, request, chunker=chunker, timeout_sec=timeout_sec) as reply:
        spoken = SpokenReply(request_id, reply, services, params, slot, route=route, caller=caller)
        outcome = "caller left"
        try:
            yield spoken
            outcome = "done"
        except OrpheusError as error:
            outcome = "failed"
            # Neither a full server nor an invalid request is a fault.
            is_rejection = isinstance(error, EngineUnavailable | RateLimited | RequestError)
            level = logging.INFO if is_rejection else logging.WARNING
            logger.log(level, "request=%s failed: %s", request_id, error)
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            spoken.report(outcome)
