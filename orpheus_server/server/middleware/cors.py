"""CORS: what pages of other origins may send and read, and the refusal of those not listed."""

import logging
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orpheus_server.errors import OriginNotAllowed
from orpheus_server.server.errors import error_response, orpheus_error_response
from orpheus_server.server.origins import ORIGIN_NOT_LISTED, normal_origin

logger = logging.getLogger(__name__)

MAX_LOGGED_ORIGINS = 100
"""Anybody can make up origins, and each must not add a line to the log for ever."""

_MAX_LOGGED_CHARS = 200

ALLOWED_METHODS = ["GET", "HEAD", "POST", "OPTIONS"]
EXPOSED_HEADERS = [
    *("x-request-id", "openai-processing-ms", "retry-after", "x-should-retry"),
    *(
        f"x-orpheus-{name}"
        for name in (
            "degraded-chunks",
            "dropped-symbols",
            "dropped-tags",
            "ignored-fields",
            "left-out",
            "nothing-to-speak",
            "queue-ms",
            "skipped-messages",
        )
    ),
]


class CrossOriginMiddleware(CORSMiddleware):
    """Starlette's CORS for the listed origins, whose requests may have any header.

    Refuses the preflight of any other origin in OpenAI's envelope, and logs the origin once.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=frozenset(origins),
            allow_methods=ALLOWED_METHODS,
            # Access needs a key, not a cookie, and every SDK has headers of its own.
            allow_headers=["*"],
            # A page from the internet may call a server in the private network.
            allow_private_network=True,
            expose_headers=EXPOSED_HEADERS,
        )
        self._logged_origins: set[str] = set()

    def is_allowed_origin(self, origin: str) -> bool:
        """Returns whether the origin is listed, compared as for WebSockets and `/tts`."""
        return normal_origin(origin) in self.allow_origins

    def preflight_response(self, request_headers: Headers) -> Response:
        """Returns an error in OpenAI's envelope where Starlette's is plain text."""
        if not self.is_allowed_origin(request_headers["origin"]):
            self._log_once(request_headers["origin"])
            return orpheus_error_response(OriginNotAllowed(ORIGIN_NOT_LISTED))
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        # Only the method is left to refuse.
        method = request_headers["access-control-request-method"]
        return error_response(
            405,
            f"No route here has the method {method[:20]!r}.",
            code="method_not_allowed",
            headers={"allow": ", ".join(ALLOWED_METHODS)},
        )

    async def simple_response(
        self, scope: Scope, receive: Receive, send: Send, request_headers: Headers
    ) -> None:
        """Adds no CORS headers to a server that lists no origins."""
        if self.allow_origins:
            await super().simple_response(scope, receive, send, request_headers)
        else:
            await self.app(scope, receive, send)

    def _log_once(self, origin: str) -> None:
        shown = origin[:_MAX_LOGGED_CHARS]
        if shown in self._logged_origins or len(self._logged_origins) >= MAX_LOGGED_ORIGINS:
            return
        self._logged_origins.add(shown)
        logger.warning("preflight refused: the origin %r is not one of CORS_ORIGINS", shown)
