"""Security headers: no sniffing, framing or cross-origin reading, and a policy for pages."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""For pages without a policy of their own: everything from this server, nothing inline."""

_STARTS = {"http.response.start", "websocket.http.response.start"}


class SecurityHeadersMiddleware:
    """Adds security headers to every response, even to a rejected handshake; keeps existing ones.

    `is_shared`: pages of other origins may read responses if CORS allows it.
    """

    def __init__(self, app: ASGIApp, *, is_shared: bool) -> None:
        self._app = app
        self._headers = {
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
            "cross-origin-resource-policy": "cross-origin" if is_shared else "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("content-security-policy", PAGE_POLICY)
                if message["status"] >= 400:
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)
