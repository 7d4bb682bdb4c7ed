"""Security headers of every response, wherever it comes from."""

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient, WebSocketDenialResponse

from orpheus_server.fakes import Script
from orpheus_server.settings import Settings
from tests.support.app import FakeServer

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", path, 200) for path in ("/", "/health", "/docs", "/openapi.json", "/v1/models")),
        ("GET", "/nothing", 404),
        ("PUT", "/health", 405),
        ("OPTIONS", "/v1/models", 405),
    ],
)
def test_every_response(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers.items() >= HEADERS.items()
    assert response.headers.get("cache-control") == ("no-store" if status >= 400 else None)
    assert ("content-security-policy" in response.headers) == (path == "/docs")


def test_a_stream_keeps_its_own_header(client: TestClient) -> None:
    response = client.post("/v1/audio/speech", json={"input": "Hi.", "response_format": "pcm"})
    assert response.headers.items() >= {**HEADERS, "cache-control": "no-cache"}.items()


def test_an_unexpected_exception(server: FakeServer, client: TestClient) -> None:
    server.engine.enqueue(Script((), error=ValueError("broken")))
    response = client.post("/v1/audio/speech", json={"input": "Hi."})
    assert response.status_code == 500
    assert response.headers.items() >= HEADERS.items()


def test_a_rejected_handshake() -> None:
    server = FakeServer(settings=Settings(api_keys=SecretStr("abcdefgh")))
    with (
        server.client() as client,
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect("/v1/audio/stream"),
    ):
        pass
    expected = {**HEADERS, "cache-control": "no-store"}
    assert denied.value.headers.items() >= expected.items()


def test_pages_of_allowed_origins_may_read_responses() -> None:
    server = FakeServer(settings=Settings(cors_origins="https://a.example"))
    with server.client() as client:
        response = client.get("/health")
    assert response.headers["cross-origin-resource-policy"] == "cross-origin"
