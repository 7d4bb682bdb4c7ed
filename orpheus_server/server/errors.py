"""Error responses in OpenAI's envelope, and the table that maps exceptions to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from orpheus_server.errors import (
    AccessDenied,
    ChatModelFailed,
    ChatModelUnavailable,
    ChatNotConfigured,
    ChunkFailed,
    EngineUnavailable,
    GenerationFailed,
    HostNotAllowed,
    InvalidApiKey,
    OriginNotAllowed,
    OrpheusError,
    Overloaded,
    RateLimited,
    RequestError,
    RequestTimedOut,
    ShuttingDown,
    UnknownModel,
)
from orpheus_server.server.validation import find_problem

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"
UNAVAILABLE = "service_unavailable_error"
NOT_PERMITTED = "permission_error"

# The SDK retries every 5xx twice: if the failure is permanent, that wastes two generations.
_DO_NOT_RETRY = {"x-should-retry": "false"}
_WORTH_A_RETRY = {408, 409, 429}

# The body of a rejected request is never read, so the connection cannot be reused.
_CLOSE = {"connection": "close"}


class ErrorBody(BaseModel):
    """An error in OpenAI's shape."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """The body of every response that is not 2xx."""

    error: ErrorBody


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """The status, OpenAI's error type and code, and the headers for one kind of failure."""

    status: int
    type: str
    code: str
    headers: Mapping[str, str]


# The entry of an exception's nearest base class applies.
_TABLE: dict[type[OrpheusError], ErrorSpec] = {
    UnknownModel: ErrorSpec(404, INVALID_REQUEST, "model_not_found", {}),
    RequestError: ErrorSpec(400, INVALID_REQUEST, "invalid_value", {}),
    ChunkFailed: ErrorSpec(500, SERVER_ERROR, "generation_failed", _DO_NOT_RETRY),
    ChatModelFailed: ErrorSpec(502, SERVER_ERROR, "llm_failed", {}),
    GenerationFailed: ErrorSpec(500, SERVER_ERROR, "generation_failed", {}),
    AccessDenied: ErrorSpec(403, NOT_PERMITTED, "access_denied", _CLOSE),
    InvalidApiKey: ErrorSpec(
        401, INVALID_REQUEST, "invalid_api_key", {"www-authenticate": "Bearer", **_CLOSE}
    ),
    HostNotAllowed: ErrorSpec(403, NOT_PERMITTED, "host_not_allowed", _CLOSE),
    OriginNotAllowed: ErrorSpec(403, NOT_PERMITTED, "origin_not_allowed", _CLOSE),
    RateLimited: ErrorSpec(429, "rate_limit_error", "rate_limit_exceeded", {}),
    RequestTimedOut: ErrorSpec(504, SERVER_ERROR, "timeout", _DO_NOT_RETRY),
    Overloaded: ErrorSpec(503, UNAVAILABLE, "server_is_overloaded", {}),
    # The server is about to exit, so the client must not reuse the connection.
    ShuttingDown: ErrorSpec(503, UNAVAILABLE, "shutting_down", _CLOSE),
    ChatModelUnavailable: ErrorSpec(503, UNAVAILABLE, "llm_unavailable", {}),
    ChatNotConfigured: ErrorSpec(503, UNAVAILABLE, "llm_not_configured", _DO_NOT_RETRY),
    EngineUnavailable: ErrorSpec(503, UNAVAILABLE, "engine_unavailable", {}),
    OrpheusError: ErrorSpec(500, SERVER_ERROR, "internal_error", {}),
}

_HTTP_CODES = {
    400: "invalid_json",  # FastAPI's status for a body that cannot be parsed
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
}

# pydantic-core's error types for which OpenAI has a code of its own.
_VALIDATION_CODES = {
    "missing": "missing_required_parameter",
    "string_too_long": "string_above_max_length",
}


def error_response(
    status: int,
    message: str,
    *,
    type_: str = INVALID_REQUEST,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Returns an error in OpenAI's envelope; most 4xx also get `x-should-retry: false`."""
    body = ErrorResponse(error=ErrorBody(message=message, type=type_, param=param, code=code))
    own = _DO_NOT_RETRY if 400 <= status < 500 and status not in _WORTH_A_RETRY else {}
    return JSONResponse(body.model_dump(), status_code=status, headers={**own, **(headers or {})})


def internal_error() -> JSONResponse:
    """Returns the response to an unexpected exception; it reveals no paths or values."""
    return error_response(
        500,
        "The server failed on this request. The log has the request id.",
        type_=SERVER_ERROR,
        code="internal_error",
    )


def install_error_handlers(app: FastAPI) -> None:
    """Puts every failure, including the router's own 404 and 405, in OpenAI's envelope."""
    app.add_exception_handler(OrpheusError, _on_orpheus_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def spec_for(error: OrpheusError) -> ErrorSpec:
    """Returns the table's entry for the nearest class of `error`."""
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
    raise AssertionError("the base class has an entry")


def error_body(error: OrpheusError) -> ErrorBody:
    """Returns what the caller sees, which is the same in a response and in a stream's event."""
    spec = spec_for(error)
    param, code = None, spec.code
    if isinstance(error, RequestError):
        param, code = error.param, error.code
    return ErrorBody(message=str(error), type=spec.type, param=param, code=code)


async def _on_orpheus_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OrpheusError)
    return orpheus_error_response(error)


def orpheus_error_response(error: OrpheusError) -> JSONResponse:
    """Returns the response for this exception, as the table defines it."""
    spec, body = spec_for(error), error_body(error)
    headers = dict(spec.headers)
    if isinstance(error, EngineUnavailable | RateLimited):
        headers["retry-after"] = str(error.retry_after_sec)
    return error_response(
        spec.status,
        body.message,
        type_=body.type,
        param=body.param,
        code=body.code,
        headers=headers,
    )


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    if first["loc"][0] == "body" and not _is_json(request):
        content_type = request.headers.get("content-type", "none")[:60]
        return error_response(
            415,
            f"The content type must be application/json, not {content_type!r}.",
            code="unsupported_media_type",
        )
    if first["type"] == "json_invalid":
        problem = str(first.get("ctx", {}).get("error", ""))
        return error_response(400, f"The body is not valid JSON: {problem}.", code="invalid_json")
    values = error.body if first["loc"][0] == "body" else dict(request.query_params)
    errors = [{**each, "loc": each["loc"][1:]} for each in error.errors()]
    field, kind, message = find_problem(errors, values)
    return error_response(
        400,
        "The body must be a JSON object." if field is None else message,
        param=field,
        code=_VALIDATION_CODES.get(kind, "invalid_value"),
    )


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    messages = {
        404: f"{request.url.path[:100]!r} was not found; GET / lists the available endpoints.",
        405: f"{request.method} is not allowed for this path.",
    }
    return error_response(
        status,
        messages.get(status, str(error.detail)),
        code=_HTTP_CODES.get(status, "invalid_request" if status < 500 else "internal_error"),
        type_=INVALID_REQUEST if status < 500 else SERVER_ERROR,
        headers={"allow": _allowed_methods(request)} if status == 405 else error.headers,
    )


def _allowed_methods(request: Request) -> str:
    """Returns the methods of all routes with this path; the router names only the first one's."""
    methods: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is Match.PARTIAL:
            methods |= route.methods
    return ", ".join(sorted(methods))
