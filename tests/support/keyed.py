"""A server with API keys, its routes, and requests that it rejects."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.routing import BaseRoute
from starlette.types import Message

from orpheus_server.chat.echo import EchoModel
from orpheus_server.server.middleware.access import KEYLESS_PATHS, LIST_PATHS
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer, call_by_hand

KEY, ODD_KEY = "sk-Secret.0123456789", "odd(key)/with@signs=="
HEADER = {"authorization": f"Bearer {KEY}"}
STREAM = "/v1/audio/stream"
DENIAL: dict[str, Any] = {"websocket.http.response": {}}
Headers = list[tuple[bytes, bytes]]


def keyed(**settings: Any) -> FakeServer:
    keys = SecretStr(f"anna:{KEY},ben:{ODD_KEY}")
    return FakeServer(settings=Settings(api_keys=keys, **settings), chat=EchoModel())


def bearer64(key: str) -> str:
    return "bearer64." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def leaves(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        inner = getattr(route, "routes", None)
        yield from leaves(inner) if inner else (route,)


def all_requests(app: FastAPI) -> list[tuple[str, str]]:
    """Returns method (WS for a WebSocket) and path of every route, with filled-in parameters."""
    found = set()
    for route in leaves(app.routes):
        path = re.sub(r"\{model.*?\}", "tts-1", str(getattr(route, "path", "")))
        path = path.replace("{name}", "swagger-ui.css").replace("{path:path}", "none")
        assert "{" not in path
        for method in getattr(route, "methods", None) or {"WS"}:
            found.add((method, path))
    return sorted(found)


ALL = all_requests(keyed().build_app())
GUARDED = [
    (method, path)
    for method, path in ALL
    if not (path in KEYLESS_PATHS and method in ("GET", "HEAD"))
]
LISTS = [(method, path) for method, path in GUARDED if path in LIST_PATHS]


async def refused(app: FastAPI, method: str, path: str, headers: Headers, **changes: Any) -> Any:
    """Returns status and error of a request whose body never arrives and must not be awaited."""
    if method == "WS":
        changes = {"type": "websocket", "scheme": "ws", "subprotocols": [], **changes}
        changes.setdefault("extensions", DENIAL)
    async with asyncio.timeout(WAIT_LIMIT_SEC):
        sent = await call_by_hand(
            app,
            asyncio.Queue[Message](),
            **{"method": method, "path": path, "headers": headers, **changes},
        )
    kinds = [message["type"].removeprefix("websocket.") for message in sent]
    assert kinds == ["http.response.start", "http.response.body"]
    answer = dict(sent[0]["headers"])
    assert answer[b"content-type"] == b"application/json"
    assert answer[b"connection"] == b"close"
    assert answer[b"x-should-retry"] == b"false"
    if method != "WS":
        assert answer[b"x-request-id"].startswith(b"req_")
    if sent[0]["status"] == 401:
        assert answer[b"www-authenticate"] == b"Bearer"
    error = json.loads(sent[1]["body"])["error"]
    assert KEY not in error["message"]
    return sent[0]["status"], error
