"""The console script `orpheus-server`."""

import argparse
import ipaddress
import math
import sys
from collections.abc import Sequence
from functools import partial

import uvicorn
from fastapi import FastAPI

from orpheus_server import __version__
from orpheus_server.app import create_app
from orpheus_server.bench import command as bench_command
from orpheus_server.draining_server import DrainingServer, run_until_stopped
from orpheus_server.errors import StartError
from orpheus_server.http_protocol import HttpProtocol
from orpheus_server.loading import open_runtime
from orpheus_server.logs import configure_logging
from orpheus_server.settings import Settings, load_settings, warnings_for
from orpheus_server.websocket_protocol import WebSocketProtocol

MAX_HEADER_BYTES = 32 * 1024
"""Of a request's first line and headers; more is refused."""

MAX_MESSAGE_BYTES = 1 << 20
"""Of a WebSocket's message. Text comes in a few words at a time; the longest input that is allowed,
escaped and sent at once, is 0.4 MB. uvicorn's own limit is 16 MiB for every caller."""


KEEP_ALIVE_SEC = 75
"""nginx closes one that was idle for 60 s; if we did so first, a request could get lost between."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status."""
    parser = argparse.ArgumentParser(prog="orpheus-server", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve_parser = commands.add_parser("serve", help="start the HTTP server")
    serve_parser.add_argument("--host", help="address to listen on (HOST)")
    serve_parser.add_argument("--port", help="port to listen on (PORT)")
    bench_command.add_arguments(commands.add_parser("bench", help="measure a running server"))
    parsed = parser.parse_args(arguments)
    if parsed.command == "bench":
        return bench_command.run(parsed)
    given = {"host": parsed.host, "port": parsed.port}
    try:
        settings = load_settings(**{key: value for key, value in given.items() if value})
        configure_logging(settings, warnings=warnings_for(settings))
        return serve(settings)
    except StartError as error:
        print(f"orpheus-server: {error}", file=sys.stderr)
        return 2


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


def serve(settings: Settings) -> int:
    """Serves until Ctrl-C or SIGTERM; 0, or 1 if it could not start or has lost its engine.

    Raises `StartError` before anything is loaded.
    """
    check_address(settings)

    def stop() -> None:
        server.should_exit = True

    def begin_drain() -> None:
        app.state.runtime.begin_drain()

    app = create_app(settings, open_runtime=partial(open_runtime, on_start_failure=stop))
    config = server_config(app, settings, port=settings.port)
    server = DrainingServer(config, begin_drain=begin_drain, drain_sec=settings.tts_drain_sec)
    # Bound before anything is loaded: a port that is taken ends the start at once.
    run_until_stopped(server, [config.bind_socket()])
    runtime = getattr(app.state, "runtime", None)
    has_served = server.started and runtime is not None and runtime.start_error is None
    return 0 if has_served else 1


if __name__ == "__main__":
    sys.exit(main())
