"""The conversation of a session, in which a reply is only what the user has heard of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from orpheus_server.api.realtime.events import TranscriptTruncated
from orpheus_server.api.realtime.sent_audio import SentAudio
from orpheus_server.chat.reply import Reply
from orpheus_server.interfaces import ChatMessage

MAX_HISTORY_CHARS = 100_000
"""More than the context of the models that run here, and little next to the session's audio."""

_MIN_TURN_CHARS = 100
"""A shorter turn counts as this long, so that the history has at most a thousand turns."""


class History:
    """The newest turns that fit into `max_chars`; a question is dropped together with its answer.

    System prompts are never dropped, nor is the last turn, however long it is.
    """

    def __init__(self, *, max_chars: int = MAX_HISTORY_CHARS) -> None:
        self.system_prompt: str | None = None
        self._max_chars = max_chars
        self._system: tuple[ChatMessage, ...] = ()
        self._turns: list[ChatMessage] = []

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The whole conversation, as it is sent to the model."""
        own = (ChatMessage("system", self.system_prompt),) if self.system_prompt else ()
        return (*own, *self._system, *self._turns)

    def restart(self, messages: Sequence[ChatMessage]) -> None:
        """Replaces the conversation with these messages."""
        self._system = tuple(each for each in messages if each.role == "system")
        self._turns = [each for each in messages if each.role != "system" and each.content.strip()]
        self._trim()

    def ask(self, text: str) -> None:
        """Appends a turn of the user."""
        self._add(ChatMessage("user", text))

    def answer(self, text: str) -> None:
        """Appends a turn of the model, unless the text is empty."""
        if text.strip():
            self._add(ChatMessage("assistant", text))

    def correct_answer(self, text: str) -> None:
        """Replaces the model's last turn with this text."""
        if self._turns and self._turns[-1].role == "assistant":
            del self._turns[-1]
        self.answer(text)

    def forget_question(self) -> None:
        """Drops what the user has said since the last answer."""
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


@dataclass(slots=True)
class Exchange:
    """A user's message and the model's reply; `reply` is None until it has begun.

    `recorded` is the text of the reply in the session's history, None until it is recorded.
    """

    question: str
    audio: SentAudio
    reply: Reply | None = None
    recorded: str | None = None

    @property
    def text(self) -> str:
        """What the model has written so far."""
        return self.reply.text if self.reply else ""


class Dialogue:
    """Writes the history. The latest reply may still be playing after all of it has been sent."""

    def __init__(self) -> None:
        self.history = History()
        self._latest: Exchange | None = None

    def messages_for(self, exchange: Exchange) -> tuple[ChatMessage, ...]:
        """The messages to send to the model: the history, then the user's."""
        return (*self.history.messages, ChatMessage("user", exchange.question))

    def restart(self, messages: Sequence[ChatMessage]) -> None:
        """Replaces the conversation with these messages."""
        self._latest = None
        self.history.restart(messages)

    def begin(self, exchange: Exchange) -> None:
        """Records the user's message."""
        self.history.ask(exchange.question)
        self._latest = exchange

    def finish(self, exchange: Exchange) -> None:
        """Records the reply as the model wrote it, once all of it has been sent."""
        self._record(exchange, exchange.text)

    def fail(self, exchange: Exchange) -> TranscriptTruncated | None:
        """Records the part of a failed reply that was sent, which is all that will be played.

        If the reply has no text, drops the user's message instead, because a message that the model
        rejects must not be sent again with the next one.
        """
        if exchange is not self._latest:
            return None
        if not exchange.text:
            self._latest = None
            self.history.forget_question()
            return None
        return self._record(exchange, exchange.audio.heard(exchange.audio.num_sent))

    def interrupt(
        self, played_ms: float | None, *, playing: int | None
    ) -> TranscriptTruncated | None:
        """Records the part of the latest reply that had been played when the player stopped.

        `played_ms` is the player's position in the utterance `playing`; the clock stands in for a
        position in any other one, and for None. Returns None if the history stays as it is.
        """
        exchange, self._latest = self._latest, None
        if exchange is None:
            return None
        audio = exchange.audio
        text = audio.heard(audio.num_played(played_ms if playing == audio.index else None))
        is_recorded = exchange.recorded is not None
        if is_recorded and text in (audio.heard(audio.num_sent), exchange.recorded):
            return None
        return self._record(exchange, text)

    def _record(self, exchange: Exchange, text: str) -> TranscriptTruncated:
        if exchange.recorded is None:
            self.history.answer(text)
        else:
            self.history.correct_answer(text)
        exchange.recorded = text
        return TranscriptTruncated(utterance=exchange.audio.index, text=text)
