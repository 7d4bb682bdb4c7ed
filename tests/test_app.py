"""All routes: error envelope, disconnects, internal errors and start-up."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from orpheus_server.app import create_app
from orpheus_server.errors import EngineDead, StartError
from orpheus_server.fakes import Script, ScriptedEngine
from orpheus_server.server.protocols.limits import ConnectionLimits, limits_of
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer, call_by_hand, speech_ids, wait_for


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def client(server: FakeServer) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def test_no_handler_needs_a_thread(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dependencies took three threads per request, out of forty for all requests."""
    used = []

    async def run(function: Any, *args: Any, **kwargs: Any) -> Any:
        used.append(function)
        return function(*args, **kwargs)

    monkeypatch.setattr("fastapi.dependencies.utils.run_in_threadpool", run)
    monkeypatch.setattr("fastapi.routing.run_in_threadpool", run)
    for path in ("/", "/health", "/ready", "/v1/models", "/v1/audio/voices", "/metrics"):
        assert client.get(path).status_code == 200
    assert client.post("/v1/audio/speech", json={"input": "Hi."}).status_code == 200
    assert used == []


class TestEnvelope:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/nothing", 404, "not_found"),
            ("GET", "/v2", 404, "not_found"),
            ("POST", "/v1/audio/speech/x/", 404, "not_found"),
            ("GET", "/v1/models/tts-1%2F", 404, "model_not_found"),
            ("GET", "/v1/audio/speech", 405, "method_not_allowed"),
            ("PUT", "/v1/audio/speech", 405, "method_not_allowed"),
            ("OPTIONS", "/v1/audio/speech", 405, "method_not_allowed"),
            ("HEAD", "/v1/audio/speech", 405, "method_not_allowed"),
            ("HEAD", "/nothing", 404, "not_found"),
            ("DELETE", "/v1/models/tts-1", 405, "method_not_allowed"),
        ],
    )
    def test_errors_of_the_router(
        self, client: TestClient, method: str, path: str, status: int, code: str
    ) -> None:
        """With FastAPI's `detail`, the SDK reports nothing but "Error code: 404"."""
        answer = client.request(method, path, follow_redirects=False)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-should-retry"] == "false"
        if status == 405:
            assert answer.headers["allow"] in ("GET, HEAD", "POST")
        if method != "HEAD":
            error = answer.json()["error"]
            assert sorted(error) == ["code", "message", "param", "type"]
            assert (error["type"], error["code"]) == ("invalid_request_error", code)
            assert len(answer.content) < 2048

    @pytest.mark.parametrize("path", ["/tts", "/v1/tts", "//tts/"])
    def test_head_does_not_speak(self, server: FakeServer, client: TestClient, path: str) -> None:
        answer = client.head(f"http://127.0.0.1{path}", params={"prompt": "Hi."})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
        assert server.engine.requests == []

    @pytest.mark.anyio
    async def test_a_path_of_a_megabyte_is_not_echoed(self, server: FakeServer) -> None:
        messages = asyncio.Queue[Message]()
        sent = await call_by_hand(server.build_app(), messages, path="/" + "x" * 1_000_000)
        assert sent[0]["status"] == 404
        assert len(sent[1]["body"]) < 300

    def test_an_internal_error(
        self, server: FakeServer, client: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Starlette's response is plain text without an id to find in the log."""
        server.engine.enqueue(Script((), error=ValueError("/secret/path is broken")))
        answer = client.post("/v1/audio/speech", json={"input": "Hello."})
        assert answer.status_code == 500
        request_id = answer.headers["x-request-id"]
        assert answer.json() == {
            "error": {
                "message": "The server failed on this request. The log has the request id.",
                "type": "server_error",
                "param": None,
                "code": "internal_error",
            }
        }
        assert f"request={request_id} failed unexpectedly" in caplog.text
        assert "/secret/path is broken" in caplog.text
        assert server.engine.num_active == 0
        assert client.post("/v1/audio/speech", json={"input": "Hello."}).status_code == 200


class TestDisconnect:
    """Neither FastAPI nor uvicorn cancels a handler that has not started its response."""

    @pytest.mark.anyio
    async def test_before_the_response(self, server: FakeServer) -> None:
        server.engine.enqueue(Script(speech_ids(9), hangs_at_end=True))
        body: Message = {"type": "http.request", "body": b'{"input": "Hello."}'}
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            before = asyncio.all_tasks()
            messages = asyncio.Queue[Message]()
            messages.put_nowait(body)
            call = asyncio.create_task(call_by_hand(app, messages))
            await wait_for(lambda: server.engine.num_active == 1)
            messages.put_nowait({"type": "http.disconnect"})
            sent = await call
            assert sent[0]["status"] == 499
            assert (server.engine.num_active, server.engine.num_aborted) == (0, 1)
            assert asyncio.all_tasks() == before

    @pytest.mark.anyio
    async def test_in_the_middle_of_the_request_body(self, server: FakeServer) -> None:
        messages = asyncio.Queue[Message]()
        messages.put_nowait({"type": "http.request", "body": b'{"inp', "more_body": True})
        messages.put_nowait({"type": "http.disconnect"})
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            sent = await call_by_hand(app, messages)
        assert sent[0]["status"] == 400
        assert server.engine.requests == []

    @pytest.mark.anyio
    async def test_the_server_cancels_the_request(self, server: FakeServer) -> None:
        server.engine.enqueue(Script(speech_ids(9), hangs_at_end=True))
        messages = asyncio.Queue[Message]()
        messages.put_nowait({"type": "http.request", "body": b'{"input": "Hello."}'})
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            before = asyncio.all_tasks()
            call = asyncio.create_task(call_by_hand(app, messages))
            await wait_for(lambda: server.engine.num_active == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert (server.engine.num_active, server.engine.num_aborted) == (0, 1)
            assert asyncio.all_tasks() == before


class TestStart:
    def test_an_unknown_model_fails_before_anything_is_loaded(self) -> None:
        with pytest.raises(StartError, match=r"TTS_MODEL_NAME='/no/such'.*canopylabs/orpheus"):
            create_app(Settings(tts_model_name="/no/such"))

    def test_connection_limits_reach_the_server(self) -> None:
        settings = Settings(tts_receive_timeout_sec=3, tts_client_stall_sec=4)
        with FakeServer(settings=settings).client() as client:
            limits = limits_of(client.app_state)
        assert limits == ConnectionLimits(receive_timeout_sec=3, client_stall_sec=4)

    def test_building_the_app_opens_nothing(self, server: FakeServer) -> None:
        server.build_app()
        assert not hasattr(server, "runtime")

    def test_the_runtime_closes_with_the_app(self, server: FakeServer) -> None:
        with server.client() as client:
            assert client.get("/ready").status_code == 200
        assert server.runtime.status == "starting"


def test_a_dead_engine_ends_the_other_chunks_of_the_request() -> None:
    hanging = Script(speech_ids(9), hangs_at_end=True)
    dying = Script((), error=EngineDead("the speech engine has died"))
    server = FakeServer()
    server.engine = ScriptedEngine(
        lambda request: dying if request.request_id.endswith("-0-1") else hanging
    )
    text = "Abcdefg hijklmno pqrstuv wxyz. " * 9
    with server.client() as client:
        assert client.post("/v1/audio/speech", json={"input": text}).status_code == 503
        assert server.engine.num_active == 0
