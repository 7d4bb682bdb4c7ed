"""The conversation of a session as it was heard: what was cut off was never said."""

from collections.abc import Sequence

from orpheus_server.api.realtime.events import TranscriptTruncated
from orpheus_server.api.realtime.utterances import ChatUtterance
from orpheus_server.interfaces import ChatMessage

MAX_HISTORY_CHARS = 100_000
"""More than the context of the models that are run here, and little beside the session's sound."""

_MIN_TURN_CHARS = 100
"""A turn counts as no less: a thousand of them are enough, however short."""


class History:
    """The newest turns that fit into `max_chars`; the oldest go, and with a question its answer.

    System prompts stay. The last turn stays however long it is.
    """

    def __init__(self, *, max_chars: int = MAX_HISTORY_CHARS) -> None:
        self.system_prompt: str | None = None
        self._max_chars = max_chars
        self._system: tuple[ChatMessage, ...] = ()
        self._turns: list[ChatMessage] = []

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """All of it, as it is put before a model."""
        own = (ChatMessage("system", self.system_prompt),) if self.system_prompt else ()
        return (*own, *self._system, *self._turns)

    def restart(self, messages: Sequence[ChatMessage]) -> None:
        """These messages, and nothing of what was."""
        self._system = tuple(each for each in messages if each.role == "system")
        self._turns = [each for each in messages if each.role != "system" and each.content.strip()]
        self._trim()

    def ask(self, text: str) -> None:
        """The user's turn."""
        self._add(ChatMessage("user", text))

    def answer(self, text: str) -> None:
        """The model's turn; none if it said nothing."""
        if text.strip():
            self._add(ChatMessage("assistant", text))

    def correct_answer(self, text: str) -> None:
        """That much of the model's last turn is what it said."""
        if self._turns and self._turns[-1].role == "assistant":
            del self._turns[-1]
        self.answer(text)

    def forget_question(self) -> None:
        """As it was after the last answer: without what the user has said since."""
        while self._turns and self._turns[-1].role == "user":
            del self._turns[-1]

    def _add(self, turn: ChatMessage) -> None:
        self._turns.append(turn)
        self._trim()

    def _trim(self) -> None:
        num_chars = sum(map(_num_chars, self._turns))
        start = 0
        while num_chars > self._max_chars and start < len(self._turns) - 1:
            num_chars -= _num_chars(self._turns[start])
            start += 1
        while 0 < start < len(self._turns) - 1 and self._turns[start].role == "assistant":
            start += 1
        del self._turns[:start]


def _num_chars(turn: ChatMessage) -> int:
    return max(_MIN_TURN_CHARS, len(turn.content))


class Dialogue:
    """Writes the history. The latest answer may still be played when all of it has been sent."""

    def __init__(self) -> None:
        self.history = History()
        self._latest: ChatUtterance | None = None

    def messages_for(self, utterance: ChatUtterance) -> tuple[ChatMessage, ...]:
        """What the model is asked."""
        return (*self.history.messages, ChatMessage("user", utterance.question))

    def restart(self, messages: list[ChatMessage]) -> None:
        """Another conversation."""
        self._latest = None
        self.history.restart(messages)

    def begin(self, utterance: ChatUtterance) -> None:
        """The user has said it."""
        self.history.ask(utterance.question)
        self._latest = utterance

    def finish(self, utterance: ChatUtterance) -> None:
        """All of it was sent; it is recorded as the model wrote it."""
        utterance.recorded = utterance.text
        self.history.answer(utterance.text)

    def fail(self, utterance: ChatUtterance) -> TranscriptTruncated | None:
        """What was sent of it will be played, and no more.

        Where nothing was written, nothing was said: a message that the model does not take must not
        come before it again with the next one.
        """
        if utterance is not self._latest:
            return None
        if not utterance.text:
            self._latest = None
            self.history.forget_question()
            return None
        num_sent = utterance.audio.num_sent if utterance.audio else 0
        return self._record(utterance, utterance.heard(num_sent))

    def interrupt(
        self, played_ms: float | None, *, playing: int | None
    ) -> TranscriptTruncated | None:
        """The player stops, at this place of the utterance `playing`, or where the clock says.

        None if that changes nothing.
        """
        utterance, self._latest = self._latest, None
        if utterance is None:
            return None
        num_played = 0
        if utterance.audio is not None:
            known_ms = played_ms if playing == utterance.index else None
            num_played = utterance.audio.num_played(known_ms)
        text = utterance.heard(num_played)
        if utterance.recorded is None:
            return self._record(utterance, text)
        was_all_sent = utterance.audio is None or text == utterance.heard(utterance.audio.num_sent)
        if was_all_sent or text == utterance.recorded:
            return None
        self.history.correct_answer(text)
        utterance.recorded = text
        return TranscriptTruncated(utterance=utterance.index, text=text)

    def _record(self, utterance: ChatUtterance, text: str) -> TranscriptTruncated:
        utterance.recorded = text
        self.history.answer(text)
        return TranscriptTruncated(utterance=utterance.index, text=text)
