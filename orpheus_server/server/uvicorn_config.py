"""How uvicorn serves the app: its protocols, its limits, and the addresses it may listen on."""

import ipaddress
import math

import uvicorn
from fastapi import FastAPI

from orpheus_server.errors import StartError
from orpheus_server.server.protocols.http import HttpProtocol
from orpheus_server.server.protocols.websocket import WebSocketProtocol
from orpheus_server.settings import Settings

MAX_HEADER_BYTES = 32 * 1024
"""Of a request's first line and headers; more is refused."""

MAX_MESSAGE_BYTES = 1 << 20
"""Of a WebSocket's message. Text comes in a few words at a time; the longest input that is allowed,
escaped and sent at once, is 0.4 MB. uvicorn's own limit is 16 MiB for every caller."""

KEEP_ALIVE_SEC = 75
"""nginx closes one that was idle for 60 s; if we did so first, a request could get lost between."""


def check_address(settings: Settings) -> None:
    """Raises `StartError` if others could reach a server that has no keys."""
    if settings.api_keys or settings.allow_unauthenticated or _is_loopback(settings.host):
        return
    raise StartError(
        f"HOST={settings.host!r} can be reached from other machines. Set API_KEYS to the keys that "
        "callers must show, or ALLOW_UNAUTHENTICATED=true to serve everybody."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Where another name leads is known only when it is looked up.
        return host.lower() == "localhost"


def server_config(app: FastAPI, settings: Settings, *, port: int) -> uvicorn.Config:
    """How uvicorn serves the app; port 0 takes a free one."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        http=HttpProtocol,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        ws=WebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        # Audio hardly shrinks, and compressing it would hold up the event loop.
        ws_per_message_deflate=False,
        # Longer than proxies keep a connection to use it again.
        timeout_keep_alive=KEEP_ALIVE_SEC,
        # A reader who has stopped reading must not keep the process.
        timeout_graceful_shutdown=math.ceil(settings.tts_drain_sec),
        # `configure_logging` has done it, in one format for all lines.
        log_config=None,
        access_log=False,
    )
