"""Reads the messages of a request to `POST /v1/chat/completions` as text."""

from collections.abc import Mapping

from orpheus_server.api.schemas.completion_request import RequestMessage
from orpheus_server.errors import RequestError
from orpheus_server.interfaces import ChatMessage, Role
from orpheus_server.runtime.speech_services import SpeechServices

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_TOOL_ROLES = ("tool", "function")
_MAX_TRANSCRIPT_CHARS = 4_000_000
"""Limit for all transcripts of a request: a short id may name a long one many times."""


class MessageReader:
    """Reads the messages of one request. `num_skipped` counts those that lost something."""

    def __init__(self, services: SpeechServices, caller: str) -> None:
        self._services = services
        self._caller = caller
        self._num_transcript_chars = 0
        self.num_skipped = 0

    def read(self, messages: list[RequestMessage]) -> list[ChatMessage]:
        """Returns the messages as a `ChatModel` accepts them. Raises `RequestError`.

        Earlier messages lose what is not text; the last one is what the model answers.
        """
        *earlier, last = messages
        read = [self._earlier(message, index) for index, message in enumerate(earlier)]
        ending = self._last(last, len(earlier))
        return [*(each for each in read if each is not None), ending]

    def _last(self, message: RequestMessage, index: int) -> ChatMessage:
        role = self._role_of(message, index)
        if role is None:
            raise unsupported_value(
                f"messages[{index}]: results of tools are not supported.", "messages"
            )
        if message.tool_calls:
            raise unsupported_value(f"messages[{index}]: tool calls are not supported.", "messages")
        unsupported = next(iter(_types_without_text(message)), None)
        if unsupported is not None:
            raise unsupported_value(
                f"messages[{index}]: a content part of type {unsupported[:60]!r} is not supported, "
                "only 'text' is.",
                "messages",
            )
        content = self._content(message, index) or ""
        if not content.strip():
            raise _invalid("The last message must have text.")
        return ChatMessage(role, content)

    def _earlier(self, message: RequestMessage, index: int) -> ChatMessage | None:
        role = self._role_of(message, index)
        content = None if role is None else self._content(message, index)
        is_whole = content is not None and not message.tool_calls
        if not is_whole or _types_without_text(message):
            self.num_skipped += 1
        return None if role is None or content is None else ChatMessage(role, content)

    def _role_of(self, message: RequestMessage, index: int) -> Role | None:
        """Returns None for the result of a tool."""
        if message.role in _TOOL_ROLES:
            return None
        role = _ROLES.get(message.role)
        if role is None:
            raise _invalid(
                f"messages[{index}]: the role {message.role[:60]!r} is not supported. Supported "
                f"roles: {', '.join((*_ROLES, *_TOOL_ROLES))}."
            )
        return role

    def _content(self, message: RequestMessage, index: int) -> str | None:
        """Returns the text of a message; None if it has no content."""
        text = None if message.content is None else _text_of(message)
        # Some clients keep a spoken answer as its audio with an empty text.
        if message.role == "assistant" and message.audio and not (text and text.strip()):
            return self._transcript(message.audio.id, index)
        return text

    def _transcript(self, audio_id: str, index: int) -> str:
        text = self._services.transcripts.find(self._caller, audio_id)
        if text is None:
            raise RequestError(
                f"messages[{index}]: the audio {audio_id[:60]!r} is unknown or expired; "
                "send its transcript as the content instead.",
                param="messages",
                code="audio_not_found",
            )
        self._num_transcript_chars += len(text)
        if self._num_transcript_chars > _MAX_TRANSCRIPT_CHARS:
            raise _invalid(
                f"The transcripts of the audio in the messages have more than "
                f"{_MAX_TRANSCRIPT_CHARS} characters."
            )
        return text


def _text_of(message: RequestMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = message.content or ()
    return "\n".join(part.text for part in parts if part.type == "text" and part.text is not None)


def _types_without_text(message: RequestMessage) -> list[str]:
    """Returns the types of content parts that are not text; a refusal has no text to keep."""
    if message.content is None or isinstance(message.content, str):
        return []
    read = ("text", "refusal") if message.role == "assistant" else ("text",)
    return [part.type for part in message.content if part.type not in read]


def _invalid(message: str) -> RequestError:
    return RequestError(message, param="messages", code="invalid_value")


def unsupported_value(message: str, param: str) -> RequestError:
    """Returns the error for a value that OpenAI allows and this server does not."""
    return RequestError(message, param=param, code="unsupported_value")
