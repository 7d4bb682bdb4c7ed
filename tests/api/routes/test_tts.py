"""`/tts` with GET and POST: defaults of earlier servers, and requests from web pages."""

import wave
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from starlette.testclient import TestClient

from orpheus_server.settings import Settings
from tests.support.app import FakeServer


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(settings=Settings(cors_origins="https://a.example"))


@pytest.fixture
def client(server: FakeServer) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def ask(client: TestClient, method: str, fields: dict[str, Any], path: str = "/tts") -> Any:
    if method == "GET":
        return client.get(path, params=fields)
    return client.post(path, json=fields)


@pytest.mark.parametrize("method", ["GET", "POST"])
class TestBoth:
    @pytest.mark.parametrize("path", ["/tts", "/v1/tts"])
    def test_a_streamed_wav(self, client: TestClient, method: str, path: str) -> None:
        answer = ask(client, method, {"prompt": "Hello there."}, path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
        assert answer.content[40:44] == b"\xff\xff\xff\xff"
        with wave.open(BytesIO(answer.content)) as file:
            assert file.getframerate() == 24_000
        assert len(answer.content) > 20_000

    def test_the_defaults_of_earlier_servers(
        self, server: FakeServer, client: TestClient, method: str
    ) -> None:
        assert ask(client, method, {"prompt": "Hello there."}).status_code == 200
        sampling = server.engine.requests[-1].sampling
        assert (sampling.temperature, sampling.top_p, sampling.repetition_penalty) == (
            *(0.4, 0.9),
            1.1,
        )

    def test_every_field_is_used(self, server: FakeServer, client: TestClient, method: str) -> None:
        fields = {
            "prompt": "Hello there.",
            "voice": "tara",
            "temperature": 0.75,
            "top_p": 0.5,
            "max_tokens": 101,
            "repetition_penalty": 1.25,
        }
        assert ask(client, method, fields).status_code == 200
        request = server.engine.requests[-1]
        assert request.max_tokens == 101
        assert (
            request.sampling.temperature,
            request.sampling.top_p,
            request.sampling.repetition_penalty,
        ) == (0.75, 0.5, 1.25)

    def test_nothing_to_speak(self, server: FakeServer, client: TestClient, method: str) -> None:
        """It was an error, which programs that read a book aloud stop at."""
        answer = ask(client, method, {"prompt": "<laugh> ..."})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        assert answer.headers["x-orpheus-dropped-tags"] == "1"
        assert answer.content[44:] == bytes(9600)
        assert server.engine.requests == []

    def test_unknown_fields_are_named(self, client: TestClient, method: str) -> None:
        answer = ask(client, method, {"prompt": "Hello.", "stream": "no", "mood": "good"})
        assert answer.status_code == 200
        assert answer.headers["x-orpheus-ignored-fields"] == "stream, mood"

    @pytest.mark.parametrize(
        ("fields", "code", "param"),
        [
            ({}, "missing_required_parameter", "prompt"),
            ({"prompt": ""}, "nothing_to_speak", "prompt"),
            ({"prompt": "x" * 32_769}, "string_above_max_length", "prompt"),
            ({"prompt": "Hi.", "voice": "nobody"}, "voice_not_found", "voice"),
            ({"prompt": "Hi.", "temperature": 3}, "invalid_value", "temperature"),
            ({"prompt": "Hi.", "temperature": "nan"}, "invalid_value", "temperature"),
            ({"prompt": "Hi.", "top_p": "x"}, "invalid_value", "top_p"),
            ({"prompt": "Hi.", "max_tokens": 99}, "invalid_value", "max_tokens"),
            ({"prompt": "Hi.", "repetition_penalty": 0}, "invalid_value", "repetition_penalty"),
        ],
    )
    def test_bad_input(
        self, client: TestClient, method: str, fields: dict[str, Any], code: str, param: str
    ) -> None:
        answer = ask(client, method, fields)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, code, param)


@pytest.mark.parametrize("name", ["temperature", "top_p", "max_tokens", "repetition_penalty"])
@pytest.mark.parametrize("value", [True, False, "1", "150", [1]])
def test_json_of_another_type(client: TestClient, name: str, value: object) -> None:
    """`"top_p": true` was taken for 1.0, which the document does not allow."""
    answer = client.post("/tts", json={"prompt": "Hi.", name: value})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_value", name)


@pytest.mark.parametrize("value", ["true", 1, "yes"])
def test_normalize_in_json_is_a_boolean(client: TestClient, value: object) -> None:
    answer = client.post("/tts", json={"prompt": "Hi.", "normalize": value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "normalize")


@pytest.mark.parametrize(("method", "value"), [("GET", "true"), ("GET", "1"), ("POST", True)])
def test_normalize(client: TestClient, method: str, value: object) -> None:
    assert ask(client, method, {"prompt": "Hi.", "normalize": value}).status_code == 200


class TestPages:
    """Any page can make a browser fetch an address, for example as an image."""

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
    def test_other_sites_are_rejected(
        self, server: FakeServer, client: TestClient, site: str
    ) -> None:
        for origin in ({}, {"origin": "https://b.example"}, {"origin": "null"}):
            headers = {"sec-fetch-site": site, **origin}
            answer = client.get("/tts", params={"prompt": "Hi."}, headers=headers)
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "origin_not_allowed"
        assert server.engine.requests == []

    def test_other_origins_are_rejected_too(self, server: FakeServer, client: TestClient) -> None:
        """Browsers omit `Sec-Fetch-Site` without TLS, and all pages were served."""
        for origin in ("https://b.example", "null"):
            answer = client.get("/tts", params={"prompt": "Hi."}, headers={"origin": origin})
            assert answer.status_code == 403
        assert server.engine.requests == []

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"origin": "https://a.example"},
            {"sec-fetch-site": "none"},
            {"sec-fetch-site": "same-origin"},
            {"sec-fetch-site": "cross-site", "origin": "https://a.example"},
        ],
    )
    def test_programs_typed_addresses_and_listed_origins_are_served(
        self, client: TestClient, headers: dict[str, str]
    ) -> None:
        answer = client.get("/tts", params={"prompt": "Hi."}, headers=headers)
        assert answer.status_code == 200

    def test_no_page_is_served_without_listed_origins(self) -> None:
        with FakeServer().client() as client:
            headers = {"sec-fetch-site": "cross-site", "origin": "https://a.example"}
            assert client.get("/tts", params={"prompt": "Hi."}, headers=headers).status_code == 403


def test_the_allow_header_names_both_methods(client: TestClient) -> None:
    """GET was missing."""
    answer = client.put("/tts")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
