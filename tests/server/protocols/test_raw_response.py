"""Error responses that are sent without the app."""

import json
import re

import pytest

from orpheus_server.server.protocols.raw_response import raw_error_response


@pytest.mark.parametrize("has_body", [True, False])
def test_every_byte(has_body: bool) -> None:
    data = raw_error_response(
        431, "Too large.", code="too_large", headers=[(b"server", b"x")], has_body=has_body
    )
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines.pop(0) == "HTTP/1.1 431 Request Header Fields Too Large"
    fields = dict(line.split(": ") for line in lines)
    assert re.fullmatch("req_[0-9a-f]{24}", fields.pop("x-request-id"))
    error = {
        "message": "Too large.",
        "type": "invalid_request_error",
        "param": None,
        "code": "too_large",
    }
    whole = json.dumps({"error": error}, separators=(",", ":")).encode()
    assert fields == {
        "server": "x",
        "connection": "close",
        "content-type": "application/json",
        "content-length": str(len(whole)),
        "x-should-retry": "false",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    assert body == (whole if has_body else b"")
