"""ASGI middleware that gives every request an id and responds to unexpected exceptions."""

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
    """Returns a new id in OpenAI's format."""
    return f"req_{secrets.token_hex(12)}"


_STARTS = {"http.response.start", "websocket.http.response.start"}


class RequestIdMiddleware:
    """Gives each request an id (`x-request-id`), and a response if nothing else does.

    A WebSocket's handshake counts as a request; only its rejection is a response. `count` receives
    the route and the status of each response that was started.
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
                # Clients can make up any number of unknown paths, so they share one name.
                self._count(getattr(scope.get("route"), "path", "unknown"), message["status"])
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                elapsed_ms = round((time.perf_counter() - started) * 1000)
                headers["openai-processing-ms"] = str(elapsed_ms)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # The server has stopped waiting for this request; uvicorn would answer in plain text.
            if not has_started and scope["type"] == "http":
                error = ShuttingDown("The server is stopping; another one may take the request.")
                await orpheus_error_response(error)(scope, receive, send_with_id)
            raise
        except Exception:  # the client gets a response whatever the exception is
            logger.exception("request=%s failed unexpectedly", request_id)
            if has_started or scope["type"] == "websocket":
                raise
            await internal_error()(scope, receive, send_with_id)
