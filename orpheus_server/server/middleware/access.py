"""Who is served: plain ASGI that refuses whatever is not allowed by name.

A browser's WebSocket cannot set headers, so a key may come as a subprotocol: the client offers
`orpheus` and `bearer.KEY`, or `bearer64.` and the key in base64url without padding where the key
has characters that a subprotocol must not have. The server accepts `orpheus` and never repeats the
key. A key in the URL is not looked at: URLs are logged everywhere.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Collection
from typing import cast

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orpheus_server.errors import AccessDenied, HostNotAllowed, InvalidApiKey, OriginNotAllowed
from orpheus_server.server.api_keys import ApiKeys
from orpheus_server.server.errors import orpheus_error_response
from orpheus_server.server.origins import is_local_host, is_same_origin, normal_origin

SUBPROTOCOL = "orpheus"

FREE_PATHS = frozenset({"/", "/v1", "/v1/", "/health", "/ready", "/v1/health", "/v1/ready"})
"""What says nothing but that there is a server, and how it is."""

FREE_FOLDER = "/web/"
"""Pages and their scripts: a browser asks for them before it could know a key."""

_FREE_METHODS = {"GET", "HEAD"}
_BEARER = re.compile(r"bearer +([^ ].*)", re.IGNORECASE | re.DOTALL)
_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1
_LOCAL, _UNKNOWN = "local", "unknown"
_PROXY_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip")

_SEND = "send 'Authorization: Bearer ' and one of its keys"


class AccessMiddleware:
    """With keys: who has one. Without: this machine only, or everybody if `is_open`.

    The name of the caller is left in the scope for `caller_of`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: ApiKeys | None,
        is_open: bool,
        origins: Collection[str],
    ) -> None:
        self._app = app
        self._keys = keys
        self._is_open = is_open
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        is_socket = scope["type"] == "websocket"
        try:
            caller = self._admit(scope, is_socket=is_socket)
        except AccessDenied as error:
            # Answered without reading: the connection closes and a body is never received.
            response = orpheus_error_response(error)
            respond = deny_handshake if is_socket else _respond
            await respond(response, scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope, *, is_socket: bool) -> str:
        """The caller's name; raises `AccessDenied`."""
        headers = Headers(scope=scope)
        peer = _peer_of(scope)
        if not is_socket and _is_free(scope):
            return peer
        if self._keys is not None:
            caller = _holder(self._keys, _token_of(scope, headers, is_socket=is_socket))
        else:
            caller = peer
            if not self._is_open:
                _check_local(peer, headers)
        if is_socket:
            self._check_origin(scope, headers)
        return caller

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        # Browsers let any page open a WebSocket to any server; only programs send no origin.
        origins, hosts = headers.getlist("origin"), headers.getlist("host")
        is_secure = scope.get("scheme") == "wss"
        for origin in origins:
            is_listed = normal_origin(origin) in self._origins
            is_own = len(hosts) == 1 and is_same_origin(origin, hosts[0], is_secure=is_secure)
            if not (is_listed or is_own):
                raise OriginNotAllowed(
                    "This page may not use this server: its origin is not one of CORS_ORIGINS."
                )


def caller_of(scope: Scope) -> str:
    """The name of the key; without keys the address of the caller, `local` for a Unix socket."""
    return cast(str, scope["state"]["caller"])


async def deny_handshake(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses a WebSocket that was not accepted yet, with an ordinary answer where that goes."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await response(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


async def _respond(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    await response(scope, receive, send)


def _is_free(scope: Scope) -> bool:
    # The path as the router compares it: without what a proxy has put before it.
    path: str = scope["path"]
    root = scope.get("root_path", "")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    is_listed = path in FREE_PATHS or path.startswith(FREE_FOLDER)
    return is_listed and scope["method"] in _FREE_METHODS


def _peer_of(scope: Scope) -> str:
    client = scope.get("client")
    if client is None:
        # A Unix socket has no port; a peer who is gone already has no address either.
        server = scope.get("server")
        return _LOCAL if server is None or server[1] is None else _UNKNOWN
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return _UNKNOWN
    if getattr(address, "scope_id", None) is not None:
        # A proxy's header can hold anything behind its `%`, and this goes into logs.
        return _UNKNOWN
    return str(getattr(address, "ipv4_mapped", None) or address)


def _check_local(peer: str, headers: Headers) -> None:
    if peer == _UNKNOWN or (peer != _LOCAL and not ipaddress.ip_address(peer).is_loopback):
        raise InvalidApiKey(
            "This server has no keys and serves its own machine only. Set API_KEYS to give keys "
            "to callers, or ALLOW_UNAUTHENTICATED=true to serve everybody."
        )
    if any(name in headers for name in _PROXY_HEADERS):
        # Whoever it is for, it came through a proxy, and the address may be what its caller wrote.
        raise InvalidApiKey(
            "This server has no keys and serves its own machine only, not what comes through a "
            "proxy. Set API_KEYS, or ALLOW_UNAUTHENTICATED=true to serve everybody."
        )
    # A page from anywhere can have its own name point at 127.0.0.1; its browser then sends that
    # name. One who sends no name is no browser.
    if not all(map(is_local_host, headers.getlist("host"))):
        raise HostNotAllowed(
            "Without API_KEYS this server answers to localhost and to IP addresses only, not to "
            "other names."
        )


def _holder(keys: ApiKeys, token: str | None) -> str:
    if token is None:
        raise InvalidApiKey(f"This server needs a key: {_SEND}.")
    name = keys.name_of(token)
    if name is None:
        raise InvalidApiKey(f"That is not a key of this server: {_SEND}.")
    return name


def _token_of(scope: Scope, headers: Headers, *, is_socket: bool) -> str | None:
    """What was shown, None if it is not exactly one thing."""
    values = headers.getlist("authorization")
    if values or not is_socket:
        found = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
        return found[1] if found else None
    tokens = [token for each in scope.get("subprotocols", ()) if (token := _offered(each))]
    return tokens[0] if len(tokens) == 1 else None


def _offered(subprotocol: str) -> str | None:
    kind, _, value = subprotocol.partition(".")
    if kind == "bearer":
        return value
    if kind != "bearer64":
        return None
    try:
        padded = value + "=" * (-len(value) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return "\0"  # is nobody's key, and is not nothing
