"""What a user and a language model have said to each other in one session."""

from collections.abc import Sequence

from orpheus_server.interfaces import ChatMessage

MAX_HISTORY_CHARS = 100_000
"""More than the room of the models that are run here, and little beside the session's sound."""

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
