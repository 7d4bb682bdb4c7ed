"""Plain ASGI around every request: its id, a bound on its body, the last net for our own bugs."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus_server.errors import ShuttingDown
from orpheus_server.http_errors import error_response, internal_error, orpheus_error_response

logger = logging.getLogger(__name__)


def new_request_id() -> str:
    """An id as OpenAI writes them."""
    return f"req_{secrets.token_hex(12)}"


_STARTS = {"http.response.start", "websocket.http.response.start"}


class RequestScope:
    """Gives each request an id (`x-request-id`), and an answer if nothing else does.

    A WebSocket's handshake is one too, of which only a refusal is an answer. `count` is told the
    route and the status of each answer that was begun.
    """

    def __init__(self, app: ASGIApp, *, count: Callable[[str, int], None]) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        has_started = False

        async def send_with_id(message: Message) -> None:
            nonlocal has_started
            if message["type"] in _STARTS:
                has_started = True
                # Paths that nobody serves are whatever a stranger likes: one name for them all.
                self._count(getattr(scope.get("route"), "path", "unknown"), message["status"])
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                elapsed_ms = round((time.perf_counter() - started) * 1000)
                headers["openai-processing-ms"] = str(elapsed_ms)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # The server ends and waits no longer; its own answer would be plain text.
            if not has_started and scope["type"] == "http":
                error = ShuttingDown("The server is stopping; another one may take the request.")
                await orpheus_error_response(error)(scope, receive, send_with_id)
            raise
        except Exception:  # an edge of the process: whatever it is, the caller gets an answer
            logger.exception("request=%s failed unexpectedly", request_id)
            if has_started or scope["type"] == "websocket":
                raise
            await internal_error()(scope, receive, send_with_id)


class BodyLimit:
    """Refuses bodies over a limit, declared or counted, late ones, and those in an encoding."""

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: Callable[[str], int], timeout_sec: float
    ) -> None:
        """`max_body_bytes` tells the limit of a path."""
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
                415, "Send the body without an encoding.", code="unsupported_media_type"
            )
            await response(scope, receive, send)
            return
        if _is_larger(headers.get("content-length", "0"), limit_bytes):
            # Answered without reading: the connection closes and the rest is never received.
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
                # What comes now is the caller's leaving, at any time.
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
    # By digits first: int() itself raises for a number of thousands of digits.
    digits = content_length.lstrip("0") or "0"
    is_huge = len(digits) > len(str(limit_bytes))
    return digits.isdecimal() and (is_huge or int(digits) > limit_bytes)


def _too_large(limit_bytes: int) -> str:
    return f"The body is larger than {limit_bytes} bytes."
