"""A streamed completion of OpenAI's API: bytes to events, and events to deltas."""

import codecs
import json
from typing import Any

from orpheus_server.chat.filters import ThinkingFilter
from orpheus_server.chat.remote.failures import RemoteError, error_for
from orpheus_server.errors import ChatModelFailed, OrpheusError
from orpheus_server.interfaces import FinishReason, ReplyDelta

DONE = "[DONE]"

_NO_ANSWER = "The language model's server sent something that is no chat completion."


class AnswerStream:
    """Takes events; `last` is the end, once there are no more of them.

    What a model thinks before it answers becomes deltas without text: it writes, and nobody is to
    hear that. A chunk counts as a token until the server tells how many there were.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.finish_reason: FinishReason | None = None
        self._has_begun = False
        self._num_tokens = 0
        self._usage: dict[str, Any] = {}
        self._thinking = ThinkingFilter()
        # A character beyond the first 65,536 may come as two halves, in two chunks.
        self._halves = codecs.getincrementaldecoder("utf-16-le")("replace")

    def take(self, event: str) -> ReplyDelta | None:
        """What the event adds to the answer. Raises `ChatModelFailed`, or what its error means."""
        if event == DONE:
            self.is_done = True
            return None
        try:
            chunk = _chunk_in(event)
        except OrpheusError:
            if self.finish_reason is None:
                raise
            # All was said: only the counts are missing.
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
            # Whatever else ends an answer (a filter, a tool that nobody offered): it has ended.
            self.finish_reason = "length" if reason == "length" else "stop"
        # A server that does not stream sends a message.
        part = choice.get("delta") or choice.get("message")
        if not isinstance(part, dict):
            return None
        content = _text_of(part.get("content"))
        if not content and not part.get("reasoning_content") and not part.get("reasoning"):
            return None
        self._num_tokens += 1
        return ReplyDelta(self._whole(self._thinking.feed(content)), 1)

    def last(self) -> ReplyDelta:
        """The rest, with the counts. Raises `ChatModelFailed` if the answer was broken off."""
        if not self._has_begun:
            raise ChatModelFailed(_NO_ANSWER)
        if self.finish_reason is None and not self.is_done:
            raise ChatModelFailed("The language model broke off in the middle of its answer.")
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
    """The `error` of a body or a chunk, whatever shape it has."""
    fields = error if isinstance(error, dict) else {}
    code, param = fields.get("code"), fields.get("param")
    return RemoteError(
        status=status,
        code=None if code is None else str(code),
        param=None if param is None else str(param),
        text=str(error)[:4000].lower(),
    )


def _text_of(content: object) -> str:
    """Text, or the text parts of a list."""
    if isinstance(content, list):
        return "".join(_text_of(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count_of(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

MAX_EVENT_BYTES = 1 << 20
"""A server that never ends a line must not fill the memory; a whole answer is shorter."""


class EventStreamParser:
    """Takes bytes cut anywhere; each `data:` line is an event of its own.

    Everything else (comments that keep a connection alive, names, blank lines) is left out. Raises
    `ValueError` for a line that is too long or no UTF-8.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_first = True

    def feed(self, chunk: bytes) -> list[str]:
        """The events that are complete now."""
        # Only at line feeds: inside of JSON there are characters that `splitlines` takes for ends.
        *lines, rest = chunk.split(b"\n")
        events = []
        for line in lines:
            self._hold(line)
            events += self._take()
        self._hold(rest)
        return events

    def flush(self) -> list[str]:
        """The last one, whose line has no end."""
        return self._take()

    def _hold(self, part: bytes) -> None:
        if len(self._held) + len(part) > MAX_EVENT_BYTES:
            raise ValueError("an event is too long")
        self._held += part

    def _take(self) -> list[str]:
        line = bytes(self._held)
        self._held.clear()
        if self._is_first:
            # Some put one before their first line, which is an event all the same.
            line, self._is_first = line.removeprefix(_BYTE_ORDER_MARK), False
        if not line.startswith(b"data:"):
            return []
        data = line[len(b"data:") :].strip()
        return [data.decode("utf-8")] if data else []
