"""The headers and body that an answer other than 200 must have."""

import pytest

from orpheus_server.bench.client import refusal
from tests.bench.builders import REQUEST_ID, envelope


def test_valid_answers() -> None:
    assert refusal.defect(400, REQUEST_ID, envelope()) is None
    assert refusal.defect(400, REQUEST_ID, envelope(code=None)) is None
    assert refusal.defect(503, {**REQUEST_ID, "retry-after": "120"}, envelope()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Internal Server Error",
        b"[]",
        b'{"error": "no"}',
        b'{"detail": "no"}',
        b'{"error": {"message": "No.", "type": "a"}}',
        b'{"error": {"message": "", "type": "a", "param": null, "code": null}}',
        b'{"error": {"message": "No.", "type": "a", "param": null, "code": 5}}',
    ],
)
def test_an_invalid_envelope(body: bytes) -> None:
    defect = refusal.defect(500, REQUEST_ID, body)
    assert defect == "500 without an error in OpenAI's envelope"


def test_a_missing_request_id() -> None:
    assert refusal.defect(400, {}, envelope()) == "400 without x-request-id"


@pytest.mark.parametrize("header", ["0", "121", "1.5", "-1", "", "soon", "9999", "²"])
def test_an_invalid_retry_after(header: str) -> None:
    headers = {**REQUEST_ID, "retry-after": header}
    assert refusal.retry_after_sec(headers) is None
    assert refusal.defect(429, headers, envelope()) == f"429 with Retry-After {header!r}"


def test_a_missing_retry_after() -> None:
    assert refusal.defect(503, REQUEST_ID, envelope()) == "503 with Retry-After 'missing'"
    assert refusal.retry_after_sec({"retry-after": "17"}) == 17


def test_events() -> None:
    assert refusal.is_refusal_event({"type": "service_unavailable_error"})
    assert refusal.is_refusal_event({"type": "rate_limit_error"})
    assert not refusal.is_refusal_event({"type": "server_error"})
    assert not refusal.is_refusal_event(None)
