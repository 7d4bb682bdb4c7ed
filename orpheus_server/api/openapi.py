"""What the OpenAPI document says of every operation: its failures by status, its headers."""

from typing import Any

from orpheus_server.server.errors import ErrorResponse

Responses = dict[int | str, dict[str, Any]]


def _header(description: str, schema: dict[str, Any], *, is_required: bool = False) -> Any:
    return {"description": description, "required": is_required, "schema": schema}


HEADERS: dict[str, Any] = {
    "x-request-id": _header(
        "Names the request in the log", {"type": "string", "pattern": "^req_"}, is_required=True
    ),
    "openai-processing-ms": _header(
        "Time until the answer began", {"type": "integer", "minimum": 0}
    ),
}
"""Of every answer."""

_SHOULD_RETRY = _header("Whether the same request could succeed", {"enum": ["true", "false"]})
_RETRY_AFTER = _header("Seconds to wait", {"type": "integer", "minimum": 1})

COUNT_HEADERS: dict[str, Any] = {
    "x-orpheus-ignored-fields": _header("Fields that had no effect", {"type": "string"}),
    "x-orpheus-degraded-chunks": _header(
        "Parts that are second best", {"type": "integer", "minimum": 1}
    ),
    "x-orpheus-dropped-symbols": _header(
        "Letters and digits that the voice cannot say", {"type": "integer", "minimum": 1}
    ),
    "x-orpheus-dropped-tags": _header(
        "Tags and control tokens that were left out", {"type": "integer", "minimum": 1}
    ),
}
"""Of speech; one that would say nothing is not sent."""

SPOKEN_REPLY_HEADERS: dict[str, Any] = {
    **COUNT_HEADERS,
    "x-orpheus-nothing-to-speak": _header(
        "Nothing of the answer can be spoken: its sound is empty", {"enum": ["true"]}
    ),
}
"""Of an answer in one piece, the same way."""

CHAT_HEADERS: dict[str, Any] = {
    name: SPOKEN_REPLY_HEADERS[name]
    for name in ("x-orpheus-ignored-fields", "x-orpheus-nothing-to-speak")
}
"""Of an answer that is sent while it is made: what is known with its first bytes."""


def failure(description: str, **headers: Any) -> dict[str, Any]:
    """A failure in OpenAI's envelope; `headers` with underscores for their hyphens."""
    own = {name.replace("_", "-"): header for name, header in headers.items()}
    return {"model": ErrorResponse, "description": description, "headers": {**HEADERS, **own}}


def client_error(description: str) -> dict[str, Any]:
    """The caller's mistake, which stays one."""
    return failure(description, x_should_retry=_SHOULD_RETRY)


COMMON_RESPONSES: Responses = {
    200: {"headers": HEADERS},
    400: client_error("The caller's mistake"),
    401: client_error("No key, or none of this server's"),
    403: client_error("Not allowed from there"),
    408: failure("The request did not arrive in time"),
    413: client_error("The body is too large"),
    415: client_error("The body has an encoding, or is not JSON"),
    431: client_error("The headers are too large"),
    500: failure("The request failed", x_should_retry=_SHOULD_RETRY),
    503: failure("Nobody can be served now", retry_after=_RETRY_AFTER),
    # With it, FastAPI does not document its own 422, which is never sent.
    "default": failure("Any other failure"),
}
"""Of every operation."""

UNKNOWN_MODEL: Responses = {404: client_error("Unknown model")}

SPEECH_RESPONSES: Responses = {
    **UNKNOWN_MODEL,
    429: failure("This caller has too many requests", retry_after=_RETRY_AFTER),
    504: failure("It took too long", x_should_retry=_SHOULD_RETRY),
}
"""Of what speaks."""

CHAT_RESPONSES: Responses = {**SPEECH_RESPONSES, 502: failure("The language model failed")}
"""Of what answers."""
