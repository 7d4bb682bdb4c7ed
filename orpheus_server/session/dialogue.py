"""The conversation of a session as it was heard: what was cut off was never said."""

from dataclasses import dataclass

from orpheus_server.interfaces import ChatMessage
from orpheus_server.session.answer import Answer
from orpheus_server.session.history import History


@dataclass(frozen=True, slots=True)
class Truncation:
    """All that the history now holds of an answer."""

    utterance: int
    text: str


class Dialogue:
    """Writes the history. The latest answer may still be played when all of it has been sent."""

    def __init__(self) -> None:
        self.history = History()
        self._latest: Answer | None = None

    def messages_for(self, answer: Answer) -> tuple[ChatMessage, ...]:
        """What the model is asked."""
        return (*self.history.messages, ChatMessage("user", answer.question))

    def restart(self, messages: list[ChatMessage]) -> None:
        """Another conversation."""
        self._latest = None
        self.history.restart(messages)

    def begin(self, answer: Answer) -> None:
        """The user has said it."""
        self.history.ask(answer.question)
        self._latest = answer

    def finish(self, answer: Answer) -> None:
        """All of it was sent; it is recorded as the model wrote it."""
        answer.recorded = answer.text
        self.history.answer(answer.text)

    def fail(self, answer: Answer) -> Truncation | None:
        """What was sent of it will be played, and no more.

        Where nothing was written, nothing was said: a message that the model does not take must not
        come before it again with the next one.
        """
        if answer is not self._latest:
            return None
        if not answer.text:
            self._latest = None
            self.history.forget_question()
            return None
        num_sent = answer.sound.num_sent if answer.sound else 0
        return self._record(answer, answer.heard(num_sent))

    def interrupt(self, played_ms: float | None, *, sounding: int | None) -> Truncation | None:
        """The player stops, at this place of the utterance `sounding`, or where the clock says.

        None if that changes nothing.
        """
        answer, self._latest = self._latest, None
        if answer is None:
            return None
        num_played = 0
        if answer.sound is not None:
            known_ms = played_ms if sounding == answer.index else None
            num_played = answer.sound.num_played(known_ms)
        text = answer.heard(num_played)
        if answer.recorded is None:
            return self._record(answer, text)
        was_all_sent = answer.sound is None or text == answer.heard(answer.sound.num_sent)
        if was_all_sent or text == answer.recorded:
            return None
        self.history.correct_answer(text)
        answer.recorded = text
        return Truncation(answer.index, text)

    def _record(self, answer: Answer, text: str) -> Truncation:
        answer.recorded = text
        self.history.answer(text)
        return Truncation(answer.index, text)
