"""Limits on the size of a request's body and on the time that it may take to arrive."""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus_server.server.errors import error_response


class BodyLimitMiddleware:
    """Rejects bodies that are too large (as declared or as counted), too late, or encoded."""

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: Callable[[str], int], timeout_sec: float
    ) -> None:
        """`max_body_bytes` returns the limit for a path."""
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._timeout_sec = timeout_sec

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit_bytes = self._max_body_bytes(scope["path"])
        if headers.get("content-encoding", "identity").lower() != "identity":
            response = error_response(
                415, "Send the body without a Content-Encoding.", code="unsupported_media_type"
            )
            await response(scope, receive, send)
            return
        if _is_larger(headers.get("content-length", "0"), limit_bytes):
            # The body is not read: the connection closes after the response.
            response = error_response(
                413,
                _too_large(limit_bytes),
                code="request_too_large",
                headers={"connection": "close"},
            )
            await response(scope, receive, send)
            return
        num_bytes = 0
        end_sec: float | None = None
        is_whole = False

        async def receive_in_time() -> Message:
            nonlocal end_sec, is_whole
            if is_whole:
                # The next message is the client's disconnect, which may come at any time.
                return await receive()
            if end_sec is None:
                end_sec = asyncio.get_running_loop().time() + self._timeout_sec
            try:
                async with asyncio.timeout_at(end_sec):
                    message = await receive()
            except TimeoutError as error:
                text = f"The body did not arrive within {self._timeout_sec:g} seconds."
                raise HTTPException(408, text, headers={"connection": "close"}) from error
            is_whole = not message.get("more_body", False)
            return message

        async def receive_counted() -> Message:
            nonlocal num_bytes
            message = await receive_in_time()
            num_bytes += len(message.get("body", b""))
            if num_bytes > limit_bytes:
                text = _too_large(limit_bytes)
                raise HTTPException(413, text, headers={"connection": "close"})
            return message

        await self._app(scope, receive_counted, send)


def _is_larger(content_length: str, limit_bytes: int) -> bool:
    # The number of digits first: int() itself raises for a number of thousands of digits.
    digits = content_length.lstrip("0") or "0"
    is_huge = len(digits) > len(str(limit_bytes))
    return digits.isdecimal() and (is_huge or int(digits) > limit_bytes)


def _too_large(limit_bytes: int) -> str:
    return f"The body is larger than {limit_bytes} bytes."
