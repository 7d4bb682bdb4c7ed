"""Doubled and final slashes, over HTTP and WebSocket, and as the scope has them."""

import asyncio
from urllib.parse import unquote

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from orpheus_server.server.middleware.paths import PathMiddleware
from tests.support.app import FakeServer, call_by_hand


async def rewritten(path: str, raw_path: bytes | None, root: str = "") -> tuple[str, bytes | None]:
    """Returns both paths of the scope after the middleware."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    await call_by_hand(
        PathMiddleware(app),
        asyncio.Queue[Message](),
        **{"path": path, "raw_path": raw_path, "root_path": root},
    )
    return seen[0]["path"], seen[0]["raw_path"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        *(("/", "/"), ("//", "/"), ("////", "/"), ("", ""), ("*", "*"), ("x//", "x//")),
        *(("/v1/models", "/v1/models"), ("/v1/models/", "/v1/models"), ("//v1", "/v1")),
        *(("/v1//audio///speech//", "/v1/audio/speech"), ("/%2f", "/%2f"), ("//%2F//", "/%2F")),
        *(("/v1/models/a%2Fb/", "/v1/models/a%2Fb"), ("/models/%2F%2f", "/models/%2F%2f")),
        # Dots are not resolved, and slashes next to a percent sign do not make an escape.
        *(("/a//../b/", "/a/../b"), ("/./", "/."), ("/%//2f", "/%/2f"), ("/%2//f", "/%2/f")),
        ("/models/caf%C3%A9//x/", "/models/caf%C3%A9/x"),
        # Pages are left alone, however their folder is written.
        *((page, page) for page in ("/web/", "/web//x/", "/web", "//web/", "//web//", "/%77eb//")),
        *((page, page) for page in ("/web//../docs//", "//web%2F/x")),
        *(("/webs//x/", "/webs/x"), ("/x//web/", "/x/web"), ("/Web//", "/Web")),
    ],
)
@pytest.mark.parametrize("root", ["", "/tts", "/tts/", "/a//b"])
async def test_both_paths(target: str, expected: str, root: str) -> None:
    """The root path is a proxy's or a mount's own."""
    if root and not target.startswith("/"):
        return
    raw_path = (root + target).encode()
    assert await rewritten(root + unquote(target), raw_path, root) == (
        root + unquote(expected),
        (root + expected).encode(),
    )


@pytest.mark.anyio
@pytest.mark.parametrize("raw_path", [None, b"", b"/other", b"/v1%2Fmodels"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [("//v1//models/", "/v1/models"), ("/web//", "/web//"), ("/%2f/", "/%2f"), ("//", "/")],
)
async def test_a_raw_path_of_something_else_is_not_used(
    path: str, expected: str, raw_path: bytes | None
) -> None:
    """A server may leave it out, and middleware around this one may have changed only the path."""
    assert await rewritten(path, raw_path) == (expected, raw_path)


@pytest.mark.anyio
async def test_a_path_outside_the_root() -> None:
    assert await rewritten("//other//x/", b"//other//x/", "/tts") == ("/other/x", b"/other/x")


@pytest.mark.parametrize("path", ["//v1/audio/speech", "/v1//audio/speech", "/v1/audio/speech/"])
def test_speech(client: TestClient, path: str) -> None:
    """A 404, because of which clients say that the model does not exist."""
    answer = client.post(f"http://127.0.0.1{path}", json={"input": "Hi."}, follow_redirects=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")


@pytest.mark.parametrize(
    "path", ["//v1/audio/stream", "/v1//audio/stream", "/v1/audio/stream/", "//audio//stream//"]
)
def test_a_websocket(client: TestClient, path: str) -> None:
    with client.websocket_connect(f"ws://127.0.0.1{path}") as socket:
        socket.send_json({"type": "session.start"})
        assert socket.receive_json()["type"] == "session.started"


def test_the_metrics_have_the_route(server: FakeServer, client: TestClient) -> None:
    """Requests were counted for a path that does not exist."""
    assert client.get("http://127.0.0.1//v1/models/").status_code == 200
    assert 'route="/v1/models",status="200"' in client.get("/metrics/").text


def test_a_large_chat_has_the_limit_of_its_route(server: FakeServer, client: TestClient) -> None:
    """A limit that is looked up by the end of the path was that of other routes."""
    body = b" " * (2 << 20)
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/chat/completions/", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
    assert client.post("/v1/audio/speech/", content=body, headers=headers).status_code == 413
