"""uvicorn's configuration: its protocols, its limits, and the addresses it may listen on."""

import ipaddress
import math

import uvicorn
from fastapi import FastAPI

from orpheus_server.errors import StartError
from orpheus_server.server.protocols.http import HttpProtocol
from orpheus_server.server.protocols.websocket import WebSocketProtocol
from orpheus_server.settings import Settings

MAX_HEADER_BYTES = 32 * 1024
"""Limit for a request's first line and headers; a larger head is rejected."""

MAX_MESSAGE_BYTES = 1 << 20
"""Limit for one WebSocket message. Text usually arrives a few words at a time; the longest allowed
input, escaped and sent as one message, is 0.4 MB. uvicorn's own limit is 16 MiB."""

KEEP_ALIVE_SEC = 75
"""nginx closes a connection that was idle for 60 s; if we closed it first, a request that is
already on its way could get lost."""


def check_address(settings: Settings) -> None:
    """Raises `StartError` if other machines could reach a server without keys."""
    if settings.api_keys or settings.allow_unauthenticated or _is_loopback(settings.host):
        return
    raise StartError(
        f"HOST={settings.host!r} can be reached from other machines. Set API_KEYS to the keys that "
        "callers must send, or ALLOW_UNAUTHENTICATED=true to serve everybody."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Any other name would have to be resolved first.
        return host.lower() == "localhost"


def server_url(settings: Settings) -> str:
    """Returns the URL of a server that listens where the settings say."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def server_config(app: FastAPI, settings: Settings, *, port: int) -> uvicorn.Config:
    """Returns uvicorn's configuration for the app; port 0 picks a free port."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        http=HttpProtocol,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        ws=WebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        # Audio hardly compresses, and trying would block the event loop.
        ws_per_message_deflate=False,
        # Longer than proxies keep an idle connection for reuse.
        timeout_keep_alive=KEEP_ALIVE_SEC,
        # A client that has stopped reading must not keep the process alive.
        timeout_graceful_shutdown=math.ceil(settings.tts_drain_sec),
        # `configure_logging` has already set one format for all lines.
        log_config=None,
        access_log=False,
    )
