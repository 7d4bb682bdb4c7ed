"""`/health`, `/ready` and speech: ready, while the model loads, and with a dead engine."""

import time
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.support.app import NO_WAIT, FakeServer

PREFIXES = pytest.mark.parametrize("prefix", ["/v1", ""])


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def loading() -> Iterator[TestClient]:
    with FakeServer(is_loaded=False, settings=NO_WAIT).client() as client:
        yield client


@PREFIXES
def test_healthy(server: FakeServer, prefix: str) -> None:
    with server.client() as client:
        body = client.get(f"{prefix}/health").json()
        assert abs(body.pop("timestamp") - time.time()) < 60
        assert body == {
            "status": "healthy",
            "model_loaded": True,
            "models": {"tts": True, "llm": False},
            "features": {
                "text_to_speech": True,
                "conversational_ai": False,
                "streaming": True,
            },
            "model": "model pocket, engine vLLM, device CPU, float32: a test asked for it",
            "active_generations": 0,
            "waiting_requests": 0,
        }
        ready = client.get(f"{prefix}/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


@PREFIXES
def test_loading(loading: TestClient, prefix: str) -> None:
    answer = loading.get(f"{prefix}/health")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["model_loaded"], body["models"]["tts"]) == (
        "starting",
        False,
        False,
    )
    assert loading.get(f"{prefix}/models").json()["tts"]["loaded"] is False
    for answer in (
        loading.get(f"{prefix}/ready"),
        loading.post(f"{prefix}/audio/speech", json={"input": "Hello."}),
    ):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "30"
        assert answer.headers["x-request-id"].startswith("req_")
        assert "x-should-retry" not in answer.headers
        assert answer.json() == {
            "error": {
                "message": "The speech model is still loading; try again in 30 s.",
                "type": "service_unavailable_error",
                "param": None,
                "code": "engine_unavailable",
            }
        }


@PREFIXES
def test_a_dead_engine(server: FakeServer, prefix: str) -> None:
    """Other servers keep reporting healthy, so their supervisor never restarts them."""
    with server.client() as client:
        server.engine.is_alive = False
        answer = client.get(f"{prefix}/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["model_loaded"] is False
        for answer in (
            client.get(f"{prefix}/ready"),
            client.post(f"{prefix}/audio/speech", json={"input": "Hello."}),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
            assert answer.json()["error"]["code"] == "engine_unavailable"
