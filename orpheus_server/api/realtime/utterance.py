"""The base of everything that a session speaks, and what its variants share."""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from orpheus_server.api.realtime.dialogue import Dialogue
from orpheus_server.api.realtime.events import STREAM_ROUTE
from orpheus_server.api.realtime.sender import EventSender
from orpheus_server.api.realtime.sent_audio import SentAudio
from orpheus_server.errors import OrpheusError
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.job import SpeechParams, SpeechStats

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What the utterances of one session share."""

    id: str
    caller: str
    services: SpeechServices
    sender: EventSender
    dialogue: Dialogue


class Utterance(ABC):
    """One stream of audio in a session; its `index` counts from 0 within the session."""

    def __init__(self, index: int, params: SpeechParams, session: SessionContext) -> None:
        self.index = index
        self.params = params
        self.request_id = f"{session.id}-{index}"
        self.stats = SpeechStats()
        self.audio = SentAudio(
            index,
            session.sender,
            sample_rate=session.services.checkpoint.sample_rate,
            speed=params.speed,
        )
        self._session = session

    @property
    @abstractmethod
    def num_left_out(self) -> int:
        """Number of parts of the text that were left out as markup so far."""

    @abstractmethod
    async def speak(self) -> None:
        """Sends the audio. Raises `OrpheusError` once everything before the error was sent."""

    @abstractmethod
    async def end_text(self) -> None:
        """Accepts no more text from the client."""

    async def fail(self, error: OrpheusError) -> None:
        """Logs the error that `speak` has raised."""
        logger.warning("request=%s failed: %s", self.request_id, error)

    def cancel(self) -> None:
        """Prepares for a cancellation by the client, with `speak` running or not yet called."""
        self.report("cancelled")

    def report(self, outcome: Literal["cancelled", "caller left"]) -> None:
        """Counts an end that comes from the client."""
        if outcome == "caller left":
            self._session.services.metrics.count_disconnect(STREAM_ROUTE)
