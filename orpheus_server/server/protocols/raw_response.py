"""Error responses that a connection itself sends to input that never reaches the app."""

from collections.abc import Iterable
from http import HTTPStatus

from orpheus_server.server.errors import error_response
from orpheus_server.server.middleware.request_id import new_request_id


def raw_error_response(
    status: int,
    message: str,
    *,
    code: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    has_body: bool = True,
) -> bytes:
    """Returns a complete HTTP/1.1 response in OpenAI's envelope; the connection closes after it.

    `headers` are the server's own; `has_body` is False for HEAD.
    """
    own = {
        "connection": "close",
        "x-request-id": new_request_id(),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    response = error_response(status, message, code=code, headers=own)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in (*headers, *response.raw_headers)]
    body = bytes(response.body) if has_body else b""
    return b"\r\n".join([*lines, b"", body])
