"""The table from exceptions to responses, and the responses as a client sees them."""

from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from orpheus_server import errors
from orpheus_server.errors import OrpheusError, Overloaded, RequestError
from orpheus_server.server.errors import (
    ErrorSpec,
    error_body,
    error_response,
    install_error_handlers,
    internal_error,
    spec_for,
)

NO_RETRY = {"x-should-retry": "false"}
UNAVAILABLE = "service_unavailable_error"
CLOSE = {"connection": "close"}
TABLE = {
    "OrpheusError": ErrorSpec(500, "server_error", "internal_error", {}),
    "StartError": ErrorSpec(500, "server_error", "internal_error", {}),
    "RequestError": ErrorSpec(400, "invalid_request_error", "invalid_value", {}),
    "UnknownModel": ErrorSpec(404, "invalid_request_error", "model_not_found", {}),
    "ForeignMessage": ErrorSpec(400, "invalid_request_error", "invalid_value", {}),
    "AccessDenied": ErrorSpec(403, "permission_error", "access_denied", CLOSE),
    "InvalidApiKey": ErrorSpec(
        401, "invalid_request_error", "invalid_api_key", {"www-authenticate": "Bearer", **CLOSE}
    ),
    "HostNotAllowed": ErrorSpec(403, "permission_error", "host_not_allowed", CLOSE),
    "OriginNotAllowed": ErrorSpec(403, "permission_error", "origin_not_allowed", CLOSE),
    "RateLimited": ErrorSpec(429, "rate_limit_error", "rate_limit_exceeded", {}),
    "RequestTimedOut": ErrorSpec(504, "server_error", "timeout", NO_RETRY),
    "GenerationFailed": ErrorSpec(500, "server_error", "generation_failed", {}),
    "ChunkFailed": ErrorSpec(500, "server_error", "generation_failed", NO_RETRY),
    "EngineUnavailable": ErrorSpec(503, UNAVAILABLE, "engine_unavailable", {}),
    "EngineNotReady": ErrorSpec(503, UNAVAILABLE, "engine_unavailable", {}),
    "StartFailed": ErrorSpec(503, UNAVAILABLE, "engine_unavailable", {}),
    "EngineDead": ErrorSpec(503, UNAVAILABLE, "engine_unavailable", {}),
    "Overloaded": ErrorSpec(503, UNAVAILABLE, "server_is_overloaded", {}),
    "ShuttingDown": ErrorSpec(503, UNAVAILABLE, "shutting_down", CLOSE),
    "ChatModelUnavailable": ErrorSpec(503, UNAVAILABLE, "llm_unavailable", {}),
    "ChatModelFailed": ErrorSpec(502, "server_error", "llm_failed", {}),
    "ChatModelTimedOut": ErrorSpec(504, "server_error", "timeout", NO_RETRY),
    "ChatNotConfigured": ErrorSpec(503, UNAVAILABLE, "llm_not_configured", NO_RETRY),
}
RETRY_AFTER = {
    "RateLimited": "5",
    "EngineUnavailable": "10",
    "EngineNotReady": "30",
    "StartFailed": "30",
    "EngineDead": "30",
    "Overloaded": "7",
    "ShuttingDown": "10",
    "ChatModelUnavailable": "10",
}


def build_error(name: str) -> OrpheusError:
    kind: type[OrpheusError] = getattr(errors, name)
    if issubclass(kind, RequestError):
        return kind("the message", param="voice", code="own_code")
    if issubclass(kind, Overloaded):
        return kind("the message", retry_after_sec=7)
    return kind("the message")


def all_names(base: type[OrpheusError]) -> set[str]:
    subclasses = (kind for kind in base.__subclasses__() if kind.__module__ == errors.__name__)
    return {base.__name__}.union(*(all_names(kind) for kind in subclasses))


class Body(BaseModel):
    """Enough fields for every kind of validation error."""

    text: str
    speed: float = Field(1.0, ge=0.25)
    note: str = Field("", max_length=3)


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/raise/{name}")
    async def raise_by_name(name: str) -> None:
        raise build_error(name)

    @app.get("/http/{status}")
    async def raise_http(status: int) -> None:
        raise HTTPException(status, "detail", headers={"x-own": "1"})

    @app.post("/body")
    async def take_body(body: Body) -> None:
        pass

    return TestClient(app)


def error_of(response: Any) -> dict[str, Any]:
    body = response.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    error: dict[str, Any] = body["error"]
    return error


def test_every_class_is_in_this_table() -> None:
    assert set(TABLE) == all_names(OrpheusError)


@pytest.mark.parametrize("name", TABLE)
def test_response(client: TestClient, name: str) -> None:
    """Unless a header says not to, the SDK retries a 5xx twice, which wastes two generations."""
    expected = TABLE[name]
    assert spec_for(build_error(name)) == expected
    response = client.get(f"/raise/{name}")
    assert response.status_code == expected.status
    is_request = isinstance(build_error(name), RequestError)
    assert error_of(response) == {
        "message": "the message",
        "type": expected.type,
        "param": "voice" if is_request else None,
        "code": "own_code" if is_request else expected.code,
    }
    # The same in an event of a stream.
    assert error_body(build_error(name)).model_dump() == error_of(response)
    assert response.headers.get("retry-after") == RETRY_AFTER.get(name)
    assert response.headers.items() >= expected.headers.items()
    is_final = name in ("ChunkFailed", "ChatNotConfigured")
    may_retry = expected.status in range(500, 504) and not is_final or name in RETRY_AFTER
    assert response.headers.get("x-should-retry") == (None if may_retry else "false")


def test_a_new_class_uses_the_entry_of_its_base() -> None:
    class Later(errors.EngineDead):
        """A kind of failure that is not in the table."""

    assert spec_for(Later()) == TABLE["EngineDead"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", ("'text' is required.", "text", "missing_required_parameter")),
        (b'{"text": 1}', ("'text': Input should be a valid string.", "text", "invalid_value")),
        (
            b'{"text": "a", "speed": 0.1}',
            ("'speed': Input should be greater than or equal to 0.25.", "speed", "invalid_value"),
        ),
        (
            b'{"text": "a", "note": "long"}',
            ("'note': String should have at most 3 characters.", "note", "string_above_max_length"),
        ),
        (b"[]", ("The body must be a JSON object.", None, "invalid_value")),
        (b'"text"', ("The body must be a JSON object.", None, "invalid_value")),
        (b"", ("The body must be a JSON object.", None, "missing_required_parameter")),
    ],
)
def test_validation(
    client: TestClient, content: bytes, expected: tuple[str, str | None, str]
) -> None:
    """FastAPI's own 422 has another shape, in which the SDK finds no message."""
    response = client.post("/body", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    message, param, code = expected
    assert error_of(response) == {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


def test_broken_json(client: TestClient) -> None:
    response = client.post("/body", content=b"{", headers={"content-type": "application/json"})
    assert response.status_code == 400
    error = error_of(response)
    assert (error["param"], error["code"]) == (None, "invalid_json")
    assert error["message"].startswith("The body is not valid JSON: ")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_content_type_other_than_json(client: TestClient, content_type: str) -> None:
    response = client.post(
        "/body", content=b'{"text": "a"}', headers={"content-type": content_type}
    )
    assert response.status_code == 415
    assert error_of(response)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/a+json"])
def test_content_types_that_are_json(client: TestClient, content_type: str) -> None:
    response = client.post("/body", content=b"{}", headers={"content-type": content_type})
    assert response.status_code == 400


def test_not_found(client: TestClient) -> None:
    response = client.get("/nowhere")
    assert response.status_code == 404
    error = error_of(response)
    assert error["code"] == "not_found"
    assert error["message"] == "'/nowhere' was not found; GET / lists the available endpoints."


def test_method_not_allowed(client: TestClient) -> None:
    response = client.get("/body")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert error_of(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("status", "code", "type_"),
    [
        (400, "invalid_json", "invalid_request_error"),
        (413, "request_too_large", "invalid_request_error"),
        (418, "invalid_request", "invalid_request_error"),
        (500, "internal_error", "server_error"),
        (503, "internal_error", "server_error"),
    ],
)
def test_http_exceptions(client: TestClient, status: int, code: str, type_: str) -> None:
    response = client.get(f"/http/{status}")
    assert response.status_code == status
    assert response.headers["x-own"] == "1"
    error = error_of(response)
    assert (error["message"], error["type"], error["code"]) == ("detail", type_, code)


def test_internal_error_reveals_nothing() -> None:
    response = internal_error()
    assert response.status_code == 500
    assert b"internal_error" in bytes(response.body)


def test_error_response_defaults() -> None:
    response = error_response(400, "no")
    assert bytes(response.body) == (
        b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}'
    )
