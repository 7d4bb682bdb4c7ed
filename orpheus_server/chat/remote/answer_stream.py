"""Parses a streamed chat completion: bytes to events, and events to deltas."""

import codecs
import json
from typing import Any

from orpheus_server.chat.filters import ThinkingFilter
from orpheus_server.chat.remote.failures import RemoteError, error_for
from orpheus_server.errors import ChatModelFailed, OrpheusError
from orpheus_server.interfaces import FinishReason, ReplyDelta

DONE = "[DONE]"

_NO_ANSWER = "The language model's server sent a response that is not a chat completion."


class AnswerStream:
    """Turns events into deltas; `last` returns the final one after the last event.

    Reasoning becomes deltas without text, since it must not be spoken. Each event counts as one
    token until the server reports the real count.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.finish_reason: FinishReason | None = None
        self._has_begun = False
        self._num_tokens = 0
        self._usage: dict[str, Any] = {}
        self._thinking = ThinkingFilter()
        # A character outside the BMP may arrive as two surrogates in two events.
        self._halves = codecs.getincrementaldecoder("utf-16-le")("replace")

    def take(self, event: str) -> ReplyDelta | None:
        """Returns what the event adds. Raises `ChatModelFailed`, or the error in the event."""
        if event == DONE:
            self.is_done = True
            return None
        try:
            chunk = _chunk_in(event)
        except OrpheusError:
            if self.finish_reason is None:
                raise
            # The answer is complete; only the token counts are missing.
            self.is_done = True
            return None
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return None
        self._has_begun = True
        return self._take_choice(choices[0])

    def _take_choice(self, choice: dict[str, Any]) -> ReplyDelta | None:
        reason = choice.get("finish_reason")
        if reason is not None:
            # Any other reason (a content filter, a tool call) also ends the answer.
            self.finish_reason = "length" if reason == "length" else "stop"
        # Servers that do not stream send a message instead of a delta.
        part = choice.get("delta") or choice.get("message")
        if not isinstance(part, dict):
            return None
        content = _text_of(part.get("content"))
        if not content and not part.get("reasoning_content") and not part.get("reasoning"):
            return None
        self._num_tokens += 1
        return ReplyDelta(self._whole(self._thinking.feed(content)), 1)

    def last(self) -> ReplyDelta:
        """Returns the rest with the token counts. Raises `ChatModelFailed` if it is incomplete."""
        if not self._has_begun:
            raise ChatModelFailed(_NO_ANSWER)
        if self.finish_reason is None and not self.is_done:
            raise ChatModelFailed("The language model's answer ended early.")
        text = self._whole(self._thinking.flush()) + self._halves.decode(b"", final=True)
        num_tokens = _count_of(self._usage.get("completion_tokens")) or 0
        return ReplyDelta(
            text,
            max(0, num_tokens - self._num_tokens),
            self.finish_reason or "stop",
            _count_of(self._usage.get("prompt_tokens")),
        )

    def _whole(self, text: str) -> str:
        return self._halves.decode(text.encode("utf-16-le", "surrogatepass"))


def _chunk_in(event: str) -> dict[str, Any]:
    try:
        chunk = json.loads(event)
    except (ValueError, RecursionError) as error:
        raise ChatModelFailed(_NO_ANSWER) from error
    if not isinstance(chunk, dict):
        raise ChatModelFailed(_NO_ANSWER)
    if chunk.get("error"):
        raise error_for(remote_error_in(chunk["error"]))
    return chunk


def remote_error_in(error: object, *, status: int = 0) -> RemoteError:
    """Reads the `error` of a body or an event, whatever its shape."""
    fields = error if isinstance(error, dict) else {}
    code, param = fields.get("code"), fields.get("param")
    return RemoteError(
        status=status,
        code=None if code is None else str(code),
        param=None if param is None else str(param),
        text=str(error)[:4000].lower(),
    )


def _text_of(content: object) -> str:
    """Returns a string, or the joined text parts of a list."""
    if isinstance(content, list):
        return "".join(_text_of(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count_of(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
