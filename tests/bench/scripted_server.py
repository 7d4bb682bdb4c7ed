"""A server that answers from a script, run by a real uvicorn so that connections really break."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.served import UvicornThread

SILENCE = bytes(480)
"""10 ms."""

SOUND = (1000).to_bytes(2, "little") * 240
"""10 ms at -30 dB of full scale."""

OVERLOADED = {
    "error": {"message": "Too many.", "type": "service_unavailable_error", "code": "overloaded"}
}


@dataclass(frozen=True)
class Script:
    """An answer to `POST /v1/audio/speech`."""

    pieces: Sequence[bytes] = (SILENCE, SOUND)
    status: int = 200
    breaks_off: bool = False
    announced_bytes: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ScriptedApp:
    """Answers each request with the script for its body, and keeps all bodies and headers."""

    script: Callable[[dict[str, Any]], Script] = lambda body: Script()
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/health":
            await answer(send, Script([b'{"model": "a scripted model"}']))
        elif scope["path"] == "/":
            await answer(send, Script([b'{"version": "7.8.9"}']))
        elif (scope["method"], scope["path"]) == ("POST", "/v1/audio/speech"):
            self.headers.append(dict(scope["headers"]))
            self.bodies.append(json.loads(await read_body(receive)))
            await answer(send, self.script(self.bodies[-1]))
        else:
            await answer(send, Script([b"no such page"], status=404))


async def read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        body += piece
        if not message.get("more_body"):
            return body


async def answer(send: Send, script: Script) -> None:
    headers = [(name.encode(), value.encode()) for name, value in script.headers.items()]
    if script.announced_bytes is not None:
        headers.append((b"content-length", str(script.announced_bytes).encode()))
    await send({"type": "http.response.start", "status": script.status, "headers": headers})
    for piece in script.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if script.breaks_off:
        raise RuntimeError("the script breaks off here")
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def serve_script(app: ASGIApp) -> Iterator[str]:
    """Serves the app and yields its URL."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, lifespan="off", log_config=None, log_level=100
    )
    with UvicornThread(config) as served:
        yield served.url
