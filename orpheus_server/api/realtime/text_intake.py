"""The client's own text in a session, which becomes one utterance after the other."""

from orpheus_server.api.realtime.parsing import out_of_order
from orpheus_server.api.realtime.text_utterance import TextUtterance
from orpheus_server.api.realtime.utterance import SessionContext
from orpheus_server.api.realtime.utterance_queue import UtteranceQueue
from orpheus_server.api.requests.speech import too_long
from orpheus_server.errors import RequestError
from orpheus_server.synthesis.job import SpeechParams

MAX_WAITING_UTTERANCES = 8
"""Utterances whose text has come and whose turn has not: their text is all that they hold."""

_MAX_UNLIMITED_CHARS = 1_000_000
"""Longest text of an utterance where the setting allows any: it is kept until it is spoken."""


class TextIntake:
    """Takes text in pieces; raises `RequestError` for what it does not take.

    The rest of a text of which a part was refused or has failed is dropped: it would be spoken with
    a hole, or for an utterance of its own. `max_chars` is for every text that a client sends.
    """

    def __init__(self, session: SessionContext, utterances: UtteranceQueue) -> None:
        # Text is cut even when the engine is lost, so that each utterance comes to its end.
        self._synthesizer = session.services.synthesizer()
        self._session = session
        self._utterances = utterances
        self._params: SpeechParams | None = None
        self._latest: TextUtterance | None = None
        self._is_dropping = False
        self.max_chars = session.services.settings.tts_max_input_chars or _MAX_UNLIMITED_CHARS

    @property
    def is_dropping(self) -> bool:
        """True until the end of a text whose rest nobody wants."""
        return self._is_dropping or (self._latest is not None and self._latest.has_failed_early)

    def speak_as(self, params: SpeechParams) -> None:
        """From the next utterance on."""
        self._params = params
        self.forget()

    def forget(self) -> None:
        """What comes next begins an utterance."""
        self._latest, self._is_dropping = None, False

    async def take(self, text: str) -> None:
        """More text of the utterance, or the first of one."""
        if self._params is None:
            raise out_of_order("text.delta", "'session.start' comes first")
        utterance = self._unfinished
        num_chars = len(text) + (utterance.num_chars if utterance else 0)
        if num_chars > self.max_chars:
            self._is_dropping = True
            if utterance is not None:
                await utterance.end_text()
            raise too_long(num_chars, self.max_chars, param="text")
        await (utterance or self._open(self._params)).feed(text)

    async def flush(self) -> None:
        """What has come is spoken without waiting for more."""
        await self._expect("text.flush").flush()

    async def done(self) -> None:
        """The utterance has no more text."""
        await self._expect("text.done").end_text()

    @property
    def _unfinished(self) -> TextUtterance | None:
        return None if self._latest is None or self._latest.has_all_text else self._latest

    def _expect(self, event: str) -> TextUtterance:
        if self._unfinished is None:
            raise out_of_order(event, "there is no text before it")
        return self._unfinished

    def _open(self, params: SpeechParams) -> TextUtterance:
        if self._utterances.num_pending > MAX_WAITING_UTTERANCES:
            # The rest of its text must not become an utterance once there is room again.
            self._is_dropping = True
            raise RequestError(
                f"{MAX_WAITING_UTTERANCES} utterances are waiting to be spoken; wait for an "
                "'audio.done'.",
                param="type",
                code="too_many_utterances",
            )
        index = self._utterances.num_utterances
        self._latest = TextUtterance(index, params, self._session, self._synthesizer)
        self._utterances.add(self._latest)
        return self._latest
