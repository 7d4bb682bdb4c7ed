"""An utterance of the client's own text, spoken while it comes."""

import logging
from contextlib import aclosing

from orpheus_server.api.realtime.events import STREAM_ROUTE
from orpheus_server.api.realtime.sent_audio import SentAudio
from orpheus_server.api.realtime.utterances import TextUtterance
from orpheus_server.concurrency import pieces_within
from orpheus_server.errors import OrpheusError
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.job import SpeechJob

logger = logging.getLogger(__name__)


class TextSpeaker:
    """Makes the sound of an utterance, and tells the log and the metrics of it."""

    def __init__(self, services: SpeechServices, caller: str) -> None:
        self._services = services
        self._caller = caller

    async def speak(self, utterance: TextUtterance, request_id: str, audio: SentAudio) -> None:
        """To the end of its text."""
        params = utterance.params
        job = SpeechJob(request_id, utterance.texts(), params)
        outcome = "cancelled"
        try:
            await self._play(utterance, job, audio)
            outcome = "done"
        except OrpheusError:
            outcome = "failed"
            raise
        finally:
            self._services.metrics.count_utterance(STREAM_ROUTE, outcome)
        stats = utterance.stats
        logger.info(
            "request=%s outcome=done voice=%s format=%s chunks=%d attempts=%d degraded=%d "
            "tokens=%d samples=%d",
            request_id,
            params.voice.name,
            params.response_format,
            stats.num_chunks,
            stats.num_attempts,
            len(stats.degraded_chunks),
            stats.num_output_tokens,
            stats.num_samples,
        )

    async def _play(self, utterance: TextUtterance, job: SpeechJob, audio: SentAudio) -> None:
        limit_sec = self._services.settings.tts_request_timeout_sec
        with self._services.admission.reserve(self._caller, "interactive") as slot:
            made = self._services.synthesizer().stream(job, utterance.stats, slot)
            # Time that the server waits for text is its writer's.
            pieces = pieces_within(limit_sec, made, counts=lambda: utterance.has_all_text)
            async with aclosing(pieces):
                await audio.send_all(pieces, utterance.stats)
