"""Access control as plain ASGI middleware: rejects every request that is not explicitly allowed.

A browser's WebSocket cannot set headers, so a key may be sent as a subprotocol: the client offers
`orpheus` and `bearer.KEY`, or, for a key with characters that a subprotocol must not contain,
`bearer64.` followed by the key in base64url without padding. The server accepts `orpheus` and never
repeats the key. A key in the URL is ignored, because URLs are logged everywhere.
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
from orpheus_server.server.middleware.paths import PAGES_FOLDER, get_route_path
from orpheus_server.server.origins import (
    ORIGIN_NOT_LISTED,
    is_local_host,
    is_same_origin,
    normal_origin,
)

SUBPROTOCOL = "orpheus"

KEYLESS_PATHS = frozenset({"/", "/v1", "/health", "/ready", "/v1/health", "/v1/ready"})
"""Paths that need no key: they reveal only that a server is running, and its health. Neither do
those in `PAGES_FOLDER`: a browser requests pages before the user can enter a key."""

LIST_PATHS = frozenset(
    f"{prefix}/{name}"
    for prefix in ("", "/v1")
    for name in ("models", "audio/models", "audio/voices")
)
"""Lists of models and voices. Some clients request them without the key that they have, and show
OpenAI's names instead if that fails."""

_READING_METHODS = {"GET", "HEAD"}
_BEARER = re.compile(r"bearer +([^ ].*)", re.IGNORECASE | re.DOTALL)
_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1
_LOCAL, _UNKNOWN = "local", "unknown"
_PROXY_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip")

_HOW_TO_SEND_A_KEY = "send 'Authorization: Bearer ' and one of its keys"


class AccessMiddleware:
    """Admits callers with a valid key; without keys only this machine, or all if `is_open`.

    Some paths need no key, with `has_public_lists` also the lists, and WebSockets also need an
    allowed origin. Stores the caller's name in the scope for `caller_of`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: ApiKeys | None,
        is_open: bool,
        has_public_lists: bool,
        origins: Collection[str],
    ) -> None:
        self._app = app
        self._keys = keys
        self._is_open = is_open
        self._has_public_lists = has_public_lists
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
            # The body is not read: the connection closes after the response.
            response = orpheus_error_response(error)
            respond = deny_handshake if is_socket else _respond
            await respond(response, scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope, *, is_socket: bool) -> str:
        """Returns the caller's name; raises `AccessDenied`."""
        headers = Headers(scope=scope)
        peer = _peer_of(scope)
        is_reading = not is_socket and scope["method"] in _READING_METHODS
        if is_reading and _is_keyless(get_route_path(scope)):
            return peer
        if self._keys is not None:
            if is_reading and self._is_public_list(scope, headers):
                return peer
            caller = _authenticate(self._keys, _token_of(scope, headers, is_socket=is_socket))
        else:
            caller = peer
            if not self._is_open:
                _check_local(peer, headers)
        if is_socket:
            self._check_origin(scope, headers)
        return caller

    def _is_public_list(self, scope: Scope, headers: Headers) -> bool:
        # Clients test a key by requesting a list with it, so a wrong one must not be ignored.
        shows_key = "authorization" in headers
        return self._has_public_lists and not shows_key and get_route_path(scope) in LIST_PATHS

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        # Browsers let any page open a WebSocket to any server, and always send an origin.
        origins, hosts = headers.getlist("origin"), headers.getlist("host")
        is_secure = scope.get("scheme") == "wss"
        for origin in origins:
            is_listed = normal_origin(origin) in self._origins
            is_own = len(hosts) == 1 and is_same_origin(origin, hosts[0], is_secure=is_secure)
            if not (is_listed or is_own):
                raise OriginNotAllowed(ORIGIN_NOT_LISTED)


def caller_of(scope: Scope) -> str:
    """Returns the name of the caller's key or, if the request needed none, the caller's address.

    The address is `local` for a Unix socket, and `unknown` if the client has disconnected.
    """
    return cast(str, scope["state"]["caller"])


async def deny_handshake(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Rejects a WebSocket before it is accepted, with an HTTP response if the server allows one."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await response(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


async def _respond(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    # The HTTP counterpart of `deny_handshake`, with the same parameters.
    await response(scope, receive, send)


def _is_keyless(path: str) -> bool:
    return path in KEYLESS_PATHS or path.startswith(PAGES_FOLDER)


def _peer_of(scope: Scope) -> str:
    client = scope.get("client")
    if client is None:
        # A Unix socket has no port. A peer that has already disconnected has no address either.
        server = scope.get("server")
        return _LOCAL if server is None or server[1] is None else _UNKNOWN
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return _UNKNOWN
    if getattr(address, "scope_id", None) is not None:
        # A proxy's header can contain anything after the `%`, and the address is logged.
        return _UNKNOWN
    return str(getattr(address, "ipv4_mapped", None) or address)


def _check_local(peer: str, headers: Headers) -> None:
    if peer == _UNKNOWN or (peer != _LOCAL and not ipaddress.ip_address(peer).is_loopback):
        raise InvalidApiKey(
            "This server has no keys and serves its own machine only. Set API_KEYS to give keys "
            "to callers, or ALLOW_UNAUTHENTICATED=true to serve everybody."
        )
    if any(name in headers for name in _PROXY_HEADERS):
        # The request came through a proxy, and the client may have made up the address itself.
        raise InvalidApiKey(
            "This server has no keys and serves its own machine only, not requests that come "
            "through a proxy. Set API_KEYS, or ALLOW_UNAUTHENTICATED=true to serve everybody."
        )
    # Any web site can point its DNS name at 127.0.0.1 (DNS rebinding); the browser then sends that
    # name. A client that sends no Host header is not a browser.
    if not all(map(is_local_host, headers.getlist("host"))):
        raise HostNotAllowed(
            "Without API_KEYS this server accepts only localhost, host.docker.internal or an IP "
            "address as its host name."
        )


def _authenticate(keys: ApiKeys, token: str | None) -> str:
    if token is None:
        raise InvalidApiKey(f"This server needs a key: {_HOW_TO_SEND_A_KEY}.")
    name = keys.name_of(token)
    if name is None:
        raise InvalidApiKey(f"That is not a key of this server: {_HOW_TO_SEND_A_KEY}.")
    return name


def _token_of(scope: Scope, headers: Headers, *, is_socket: bool) -> str | None:
    """Returns the key that the client sent, or None if it did not send exactly one."""
    values = headers.getlist("authorization")
    if values or not is_socket:
        found = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
        return found[1] if found else None
    offered = scope.get("subprotocols", ())
    tokens = [token for each in offered if (token := _token_in_subprotocol(each))]
    return tokens[0] if len(tokens) == 1 else None


def _token_in_subprotocol(subprotocol: str) -> str | None:
    kind, _, value = subprotocol.partition(".")
    if kind == "bearer":
        return value
    if kind != "bearer64":
        return None
    try:
        padded = value + "=" * (-len(value) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return "\0"  # counts as a token, but never matches a key
