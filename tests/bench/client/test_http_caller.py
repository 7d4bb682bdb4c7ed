"""Requests over a real connection: the exchange, and how the server sees a client that leaves."""

import threading
from dataclasses import dataclass, field

import pytest
from starlette.types import Receive, Scope, Send

from orpheus_server.bench.client.exchange import Behaviour, Exchange
from orpheus_server.bench.client.http_caller import HttpCaller
from tests.bench.builders import SECOND
from tests.bench.scripted_server import (
    SILENCE,
    SOUND,
    Script,
    ScriptedApp,
    answer,
    read_body,
    serve_script,
)
from tests.support.app import WAIT_LIMIT_SEC

pytestmark = pytest.mark.anyio

PATH = "/v1/audio/speech"
BODY = b'{"input": "Hello."}'


@dataclass
class EndlessApp:
    """Sends some audio and waits until the client leaves; with `is_silent`, not even headers."""

    is_silent: bool = False
    left: threading.Event = field(default_factory=threading.Event)
    num_bodies: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await read_body(receive)
        except RuntimeError:
            return
        self.num_bodies += 1
        if not self.is_silent:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": SECOND, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


async def post(
    url: str,
    behaviour: Behaviour = Behaviour(),  # noqa: B008 - frozen
    *,
    api_key: str | None = None,
    timeout_sec: float = WAIT_LIMIT_SEC,
) -> Exchange:
    async with HttpCaller(url, api_key=api_key, timeout_sec=timeout_sec) as caller:
        return await caller.post(PATH, BODY, behaviour=behaviour)


async def test_a_whole_answer() -> None:
    app = ScriptedApp(lambda body: Script(headers={"X-Request-Id": "req_1"}))
    with serve_script(app) as url:
        found = await post(url, api_key="secret")
    assert (found.status, found.body) == (200, SILENCE + SOUND)
    assert found.headers["x-request-id"] == "req_1"
    assert sum(piece.num_bytes for piece in found.pieces) == len(found.body)
    assert found.first_byte_sec is not None
    assert 0 < found.first_byte_sec <= found.total_sec
    assert (found.broken, found.is_cut) == (None, False)
    assert app.headers[0][b"authorization"] == b"Bearer secret"
    assert app.headers[0][b"content-type"] == b"application/json"


async def test_no_key_is_sent_by_default() -> None:
    app = ScriptedApp()
    with serve_script(app) as url:
        await post(url)
    assert b"authorization" not in app.headers[0]


@pytest.mark.parametrize(
    ("script", "broken"),
    [
        (Script(breaks_off=True), "broken body: RemoteProtocolError"),
        (Script(announced_bytes=2000, breaks_off=True), "broken body: RemoteProtocolError"),
    ],
)
async def test_an_answer_that_breaks_off(script: Script, broken: str) -> None:
    with serve_script(ScriptedApp(lambda body: script)) as url:
        found = await post(url)
    assert (found.status, found.broken, found.is_cut) == (200, broken, False)


async def test_an_unreachable_server() -> None:
    with serve_script(ScriptedApp()) as url:
        pass
    found = await post(url)
    assert (found.status, found.broken) == (None, "no answer: ConnectError")
    assert found.first_byte_sec is None


async def test_a_timeout() -> None:
    app = EndlessApp(is_silent=True)
    with serve_script(app) as url:
        found = await post(url, timeout_sec=0.05)
        assert app.left.wait(WAIT_LIMIT_SEC)
    assert (found.status, found.broken, found.is_cut) == (None, "timeout", False)


@pytest.mark.parametrize("resets", [False, True])
async def test_leaving_after_a_number_of_bytes(resets: bool) -> None:
    app = EndlessApp()
    with serve_script(app) as url:
        found = await post(url, Behaviour(cut_byte=100, resets=resets))
        assert app.left.wait(WAIT_LIMIT_SEC)
    assert (found.status, found.broken, found.is_cut) == (200, None, True)
    assert len(found.body) >= 100


async def test_a_shorter_answer_is_not_cut() -> None:
    with serve_script(ScriptedApp()) as url:
        found = await post(url, Behaviour(cut_byte=10_000))
    assert (found.is_cut, len(found.body)) == (False, 960)


async def test_hanging_up_before_an_answer() -> None:
    app = EndlessApp(is_silent=True)
    with serve_script(app) as url:
        found = await post(url, Behaviour(hang_up_sec=0.02))
        assert app.left.wait(WAIT_LIMIT_SEC)
    assert (found.status, found.broken, found.is_cut) == (None, None, True)


async def test_hanging_up_when_the_headers_arrive() -> None:
    app = EndlessApp()
    with serve_script(app) as url:
        found = await post(url, Behaviour(hang_up_sec=WAIT_LIMIT_SEC))
        assert app.left.wait(WAIT_LIMIT_SEC)
    assert (found.status, found.body, found.is_cut) == (200, b"", True)


async def test_an_error_is_read_to_its_end_instead_of_leaving() -> None:
    script = Script([b"no"], status=500)
    with serve_script(ScriptedApp(lambda body: script)) as url:
        found = await post(url, Behaviour(cut_byte=1))
    assert (found.status, found.body, found.is_cut) == (500, b"no", False)


async def test_a_slow_reader_falls_behind() -> None:
    """Two seconds of audio are read at 0.8 times real time."""
    now_sec = 0.0

    async def sleep(wait_sec: float) -> None:
        nonlocal now_sec
        now_sec += wait_sec

    with serve_script(ScriptedApp(lambda body: Script([SECOND, SECOND]))) as url:
        async with HttpCaller(url, clock=lambda: now_sec, sleep=sleep) as caller:
            found = await caller.post(PATH, BODY, behaviour=Behaviour(is_slow=True))
    assert found.total_sec == pytest.approx(2.5)
    assert len(found.body) == 2 * len(SECOND)


@pytest.mark.parametrize("resets", [False, True])
async def test_half_a_body(resets: bool) -> None:
    bodies: list[bytes] = []
    left = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        while message["type"] == "http.request":
            bodies.append(message["body"])
            message = await receive()
        left.set()

    with serve_script(app) as url:
        async with HttpCaller(url, api_key="secret") as caller:
            found = await caller.send_half(PATH, BODY, hold_sec=0.01, resets=resets)
        assert left.wait(WAIT_LIMIT_SEC)
    assert (found.status, found.broken, found.is_cut) == (None, None, True)
    assert b"".join(bodies) == BODY[: len(BODY) // 2]


async def test_half_a_body_to_an_unreachable_server() -> None:
    with serve_script(ScriptedApp()) as url:
        pass
    async with HttpCaller(url) as caller:
        found = await caller.send_half(PATH, BODY, hold_sec=0.0, resets=False)
    assert (found.broken, found.is_cut) == ("no answer: ConnectionRefusedError", False)


async def test_every_request_has_its_own_connection() -> None:
    """An idle connection would count as a file that the server leaked."""
    peers = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        peers.append(scope["client"])
        await answer(send, Script([b"{}"]))

    with serve_script(app) as url:
        async with HttpCaller(url) as caller:
            for _ in range(3):
                await caller.get("/health", timeout_sec=WAIT_LIMIT_SEC)
    assert len(set(peers)) == 3
