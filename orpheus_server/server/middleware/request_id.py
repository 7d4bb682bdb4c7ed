"""Plain ASGI around every request: its id, and the last net for our own bugs."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus_server.errors import ShuttingDown
from orpheus_server.server.errors import internal_error, orpheus_error_response

logger = logging.getLogger(__name__)


def new_request_id() -> str:
    """An id as OpenAI writes them."""
    return f"req_{secrets.token_hex(12)}"


_STARTS = {"http.response.start", "websocket.http.response.start"}


class RequestIdMiddleware:
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
