"""`GET /`, `/docs` and `/openapi.json`."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from orpheus_server import __version__
from orpheus_server.api.schemas.completion_request import CompletionRequest
from orpheus_server.api.schemas.speech import SpeechRequest
from orpheus_server.chat.echo import EchoModel
from tests.support.app import ANY_BODY, FakeServer


@pytest.fixture
def client() -> Iterator[TestClient]:
    with FakeServer(chat=EchoModel()).client() as client:
        yield client


def test_all_listed_endpoints_exist(client: TestClient) -> None:
    body = client.get("/").json()
    assert body == {
        "name": "Orpheus Server",
        "version": __version__,
        "endpoints": [
            "POST /v1/audio/speech",
            "WS /v1/audio/stream",
            "GET /tts",
            "POST /tts",
            "GET /v1/audio/voices",
            "GET /v1/audio/models",
            "GET /v1/models",
            "GET /v1/models/{model}",
            "GET /health",
            "GET /ready",
            "POST /v1/chat",
            "POST /v1/chat/completions",
            "GET /metrics",
            "GET /docs",
        ],
    }
    for line in body["endpoints"]:
        method, path = line.split()
        path = path.replace("{model}", "tts-1")
        if method == "WS":
            with client.websocket_connect(path):
                continue
        answer = client.request(
            method,
            path,
            json=ANY_BODY if method == "POST" else None,
            params={"prompt": "Hi."} if path == "/tts" else None,
        )
        assert answer.status_code == 200, line


def test_chat_is_listed_only_with_a_model() -> None:
    with FakeServer().client() as client:
        assert not [line for line in client.get("/").json()["endpoints"] if "chat" in line]


def test_root_and_docs_under_v1(client: TestClient) -> None:
    root = client.get("/").json()
    assert [client.get(path).json() for path in ("/v1", "/v1/")] == [root, root]
    page = client.get("/v1/docs")
    assert (page.status_code, page.url.path) == (200, "/docs")
    assert "Swagger UI" in page.text


def operations(client: TestClient) -> dict[str, dict[str, Any]]:
    paths = client.get("/openapi.json").json()["paths"]
    return {
        f"{method} {path}": operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


class TestOpenApi:
    def test_each_route_once(self, client: TestClient) -> None:
        assert sorted(operations(client)) == [
            "get /",
            "get /metrics",
            "get /v1/audio/models",
            "get /v1/audio/voices",
            "get /v1/health",
            "get /v1/models",
            "get /v1/models/{model}",
            "get /v1/ready",
            "get /v1/tts",
            "post /v1/audio/speech",
            "post /v1/chat",
            "post /v1/chat/completions",
            "post /v1/tts",
        ]

    def test_errors_are_documented_in_the_envelope(self, client: TestClient) -> None:
        """FastAPI documents its own 422 response, which no route here sends."""
        for name, operation in operations(client).items():
            errors = {key: value for key, value in operation["responses"].items() if key != "200"}
            assert {"400", "500", "503", "default"} <= set(errors), name
            assert "422" not in errors
            for response in errors.values():
                assert response["content"] == {
                    "application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}
                }
        assert {"404", "413", "415"} <= set(
            operations(client)["post /v1/audio/speech"]["responses"]
        )
        assert "404" in operations(client)["get /v1/models/{model}"]["responses"]
        assert "ValidationError" not in client.get("/openapi.json").text

    def test_the_media_types_of_speech(self, client: TestClient) -> None:
        content = operations(client)["post /v1/audio/speech"]["responses"]["200"]["content"]
        assert list(content) == [
            "audio/wav",
            "audio/pcm",
            "audio/mpeg",
            "audio/opus",
            "audio/aac",
            "audio/flac",
            "text/event-stream",
        ]

    def test_the_example_of_speech_works(self, client: TestClient) -> None:
        schema = client.get("/openapi.json").json()["components"]["schemas"]["SpeechRequest"]
        assert len(schema["examples"]) == 1
        for example in schema["examples"]:
            SpeechRequest.model_validate(example)
            assert client.post("/v1/audio/speech", json=example).status_code == 200

    def test_the_examples_of_chat_work(self) -> None:
        with FakeServer(chat=EchoModel()).client() as client:
            schemas = client.get("/openapi.json").json()["components"]["schemas"]
            examples = schemas["CompletionRequest"]["examples"]
            assert len(examples) == 2
            for example in examples:
                CompletionRequest.model_validate(example)
                assert client.post("/v1/chat/completions", json=example).status_code == 200

    def test_the_media_types_of_chat(self, client: TestClient) -> None:
        answers = operations(client)["post /v1/chat/completions"]["responses"]
        assert sorted(answers["200"]["content"]) == ["application/json", "text/event-stream"]
        assert {"404", "429", "502", "503", "504"} <= set(answers)

    @pytest.mark.parametrize(
        ("name", "required"), [("SpeechRequest", "input"), ("CompletionRequest", "messages")]
    )
    def test_every_field_of_a_request_is_described(
        self, client: TestClient, name: str, required: str
    ) -> None:
        schema = client.get("/openapi.json").json()["components"]["schemas"][name]
        properties = schema["properties"].items()
        assert [name for name, each in properties if "description" not in each] == []
        assert schema["required"] == [required]

    def test_the_docs_page(self, client: TestClient) -> None:
        answer = client.get("/docs")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
