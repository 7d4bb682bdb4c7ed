"""Error responses and headers that the OpenAPI document lists for the operations."""

from typing import Any

from orpheus_server.server.errors import ErrorResponse

Responses = dict[int | str, dict[str, Any]]


def _header(description: str, schema: dict[str, Any], *, is_required: bool = False) -> Any:
    return {"description": description, "required": is_required, "schema": schema}


HEADERS: dict[str, Any] = {
    "x-request-id": _header(
        "Identifies the request in the log",
        {"type": "string", "pattern": "^req_"},
        is_required=True,
    ),
    "openai-processing-ms": _header(
        "Milliseconds until the response started", {"type": "integer", "minimum": 0}
    ),
}
"""Headers of every response."""

_SHOULD_RETRY = _header("Whether the same request may succeed later", {"enum": ["true", "false"]})
_RETRY_AFTER = _header("Seconds to wait before trying again", {"type": "integer", "minimum": 1})

COUNT_HEADERS: dict[str, Any] = {
    "x-orpheus-ignored-fields": _header(
        "Fields of the request that had no effect", {"type": "string"}
    ),
    "x-orpheus-degraded-chunks": _header(
        "Number of chunks whose audio is not of full quality", {"type": "integer", "minimum": 1}
    ),
    "x-orpheus-dropped-symbols": _header(
        "Number of letters and digits that the voice cannot say", {"type": "integer", "minimum": 1}
    ),
    "x-orpheus-dropped-tags": _header(
        "Number of emotion tags and control tokens that were left out",
        {"type": "integer", "minimum": 1},
    ),
    "x-orpheus-left-out": _header(
        "Number of parts that were left out as markup, such as code, addresses and emoji",
        {"type": "integer", "minimum": 1},
    ),
    "x-orpheus-nothing-to-speak": _header(
        "The text has nothing that can be spoken: the audio is 0.2 s of silence", {"enum": ["true"]}
    ),
}
"""Headers of a speech response. One whose value would be zero or empty is not sent."""

COMPLETION_HEADERS: dict[str, Any] = {
    **COUNT_HEADERS,
    "x-orpheus-skipped-messages": _header(
        "Number of earlier messages that were left out, at least in part, as they are not text",
        {"type": "integer", "minimum": 1},
    ),
}
"""Headers of an answer to `POST /v1/chat/completions`."""

CHAT_HEADERS: dict[str, Any] = {
    name: header for name, header in COUNT_HEADERS.items() if name != "x-orpheus-degraded-chunks"
}
"""Headers of a streamed answer: those that are known when its first bytes are sent."""


def failure(description: str, **headers: Any) -> dict[str, Any]:
    """An error response in OpenAI's format; `headers` are named with underscores for hyphens."""
    own = {name.replace("_", "-"): header for name, header in headers.items()}
    return {"model": ErrorResponse, "description": description, "headers": {**HEADERS, **own}}


def client_error(description: str) -> dict[str, Any]:
    """An error response to a request that would fail again."""
    return failure(description, x_should_retry=_SHOULD_RETRY)


COMMON_RESPONSES: Responses = {
    200: {"headers": HEADERS},
    400: client_error("The request is invalid"),
    401: client_error("The API key is missing or invalid"),
    403: client_error("The request comes from an origin or for a host that is not allowed"),
    408: failure("The request did not arrive in time"),
    413: client_error("The body is too large"),
    415: client_error("The body is compressed or is not JSON"),
    431: client_error("The headers are too large"),
    500: failure("The request failed", x_should_retry=_SHOULD_RETRY),
    503: failure("The server cannot take the request now", retry_after=_RETRY_AFTER),
    # With it, FastAPI does not document its own 422, which is never sent.
    "default": failure("Any other error"),
}
"""Responses of every operation."""

UNKNOWN_MODEL: Responses = {404: client_error("Unknown model")}

SPEECH_RESPONSES: Responses = {
    **UNKNOWN_MODEL,
    429: failure("This caller has too many requests in progress", retry_after=_RETRY_AFTER),
    504: failure("The request took too long", x_should_retry=_SHOULD_RETRY),
}
"""Error responses of the speech routes."""

CHAT_RESPONSES: Responses = {**SPEECH_RESPONSES, 502: failure("The language model failed")}
"""Error responses of the chat routes."""
