"""Turns the text events of a session into utterances."""

from orpheus_server.api.realtime.parsing import out_of_order
from orpheus_server.api.realtime.text_utterance import TextUtterance
from orpheus_server.api.realtime.utterance import SessionContext
from orpheus_server.api.realtime.utterance_queue import UtteranceQueue
from orpheus_server.api.requests.speech import too_long
from orpheus_server.errors import RequestError
from orpheus_server.synthesis.job import SpeechParams

MAX_WAITING_UTTERANCES = 8
"""Most utterances that may wait to be spoken. A waiting utterance holds only its text."""

_DEFAULT_MAX_CHARS = 1_000_000
"""Limit of a text if the setting has none, because text is kept in memory until it is spoken."""


class TextIntake:
    """Accepts text in pieces; raises `RequestError` for a piece that it rejects.

    After a rejected piece or a failed utterance `is_dropping` is true, and the session discards
    text up to the next `text.done`: it would be spoken with a gap, or as an utterance of its own.
    `max_chars` limits the text of an utterance; the session applies it to other texts too.
    """

    def __init__(self, session: SessionContext, utterances: UtteranceQueue) -> None:
        # Kept, because text must be split even after the engine has died, or utterances never end.
        self._synthesizer = session.services.synthesizer()
        self._session = session
        self._utterances = utterances
        self._params: SpeechParams | None = None
        self._latest: TextUtterance | None = None
        self._is_dropping = False
        self.max_chars = session.services.settings.tts_max_input_chars or _DEFAULT_MAX_CHARS

    @property
    def is_dropping(self) -> bool:
        """True while the rest of a rejected or failed text is being discarded."""
        return self._is_dropping or (self._latest is not None and self._latest.has_failed_early)

    def speak_as(self, params: SpeechParams) -> None:
        """Sets the voice and format from the next utterance on."""
        self._params = params
        self.forget()

    def forget(self) -> None:
        """Detaches the current utterance, so that the next piece of text starts a new one."""
        self._latest, self._is_dropping = None, False

    async def add(self, text: str) -> None:
        """Appends text to the current utterance, or starts one with it."""
        if self._params is None:
            raise out_of_order("text.delta", "send 'session.start' first")
        utterance = self._unfinished
        num_chars = len(text) + (utterance.num_chars if utterance else 0)
        if num_chars > self.max_chars:
            self._is_dropping = True
            if utterance is not None:
                await utterance.end_text()
            raise too_long(num_chars, self.max_chars, param="text")
        await (utterance or self._open(self._params)).feed(text)

    async def flush(self) -> None:
        """Speaks the text received so far, without waiting for more."""
        await self._expect("text.flush").flush()

    async def done(self) -> None:
        """Ends the text of the current utterance."""
        await self._expect("text.done").end_text()

    @property
    def _unfinished(self) -> TextUtterance | None:
        return None if self._latest is None or self._latest.has_all_text else self._latest

    def _expect(self, event: str) -> TextUtterance:
        if self._unfinished is None:
            raise out_of_order(event, "no text was sent before it")
        return self._unfinished

    def _open(self, params: SpeechParams) -> TextUtterance:
        if self._utterances.num_pending > MAX_WAITING_UTTERANCES:
            # The rest of its text must not become an utterance once the queue has space again.
            self._is_dropping = True
            raise RequestError(
                f"At most {MAX_WAITING_UTTERANCES} utterances may wait to be spoken; send the next "
                "one after an 'audio.done'.",
                param="type",
                code="too_many_utterances",
            )
        index = self._utterances.num_utterances
        self._latest = TextUtterance(index, params, self._session, self._synthesizer)
        self._utterances.add(self._latest)
        return self._latest
