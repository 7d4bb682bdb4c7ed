"""`/tts` with GET and POST: the earlier servers' defaults, and what pages may not do."""

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
    def test_a_wav_that_is_streamed(self, client: TestClient, method: str, path: str) -> None:
        answer = ask(client, method, {"prompt": "Hello there."}, path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
        assert answer.content[40:44] == b"\xff\xff\xff\xff"
        with wave.open(BytesIO(answer.content)) as file:
            assert file.getframerate() == 24_000
        assert len(answer.content) > 20_000

    def test_the_earlier_defaults(
        self, server: FakeServer, client: TestClient, method: str
    ) -> None:
        assert ask(client, method, {"prompt": "Hello there."}).status_code == 200
        sampling = server.engine.requests[-1].sampling
        assert (sampling.temperature, sampling.top_p, sampling.repetition_penalty) == (
            *(0.4, 0.9),
            1.1,
        )

    def test_every_field_counts(self, server: FakeServer, client: TestClient, method: str) -> None:
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

    def test_unknown_ones_are_named(self, client: TestClient, method: str) -> None:
        answer = ask(client, method, {"prompt": "Hello.", "stream": "no", "mood": "good"})
        assert answer.status_code == 200
        assert answer.headers["x-orpheus-ignored-fields"] == "stream, mood"

    @pytest.mark.parametrize(
        ("fields", "code", "param"),
        [
            ({}, "missing_required_parameter", "prompt"),
            ({"prompt": ""}, "nothing_to_speak", "prompt"),
            ({"prompt": "..."}, "nothing_to_speak", "prompt"),
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


class TestPages:
    """A page may have a browser fetch any address, as a picture, without asking anybody."""

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
    def test_others_are_refused(self, server: FakeServer, client: TestClient, site: str) -> None:
        for origin in ({}, {"origin": "https://b.example"}, {"origin": "null"}):
            headers = {"sec-fetch-site": site, **origin}
            answer = client.get("/tts", params={"prompt": "Hi."}, headers=headers)
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "origin_not_allowed"
        assert server.engine.requests == []

    def test_others_are_refused_by_their_origin_too(
        self, server: FakeServer, client: TestClient
    ) -> None:
        """Browsers leave the other header out where the server has no TLS, and all were served."""
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
    def test_programs_addresses_and_listed_pages_are_served(
        self, client: TestClient, headers: dict[str, str]
    ) -> None:
        answer = client.get("/tts", params={"prompt": "Hi."}, headers=headers)
        assert answer.status_code == 200

    def test_without_listed_origins_none(self) -> None:
        with FakeServer().client() as client:
            headers = {"sec-fetch-site": "cross-site", "origin": "https://a.example"}
            assert client.get("/tts", params={"prompt": "Hi."}, headers=headers).status_code == 403


def test_what_else_is_allowed_is_told(client: TestClient) -> None:
    """GET was left out."""
    answer = client.put("/tts")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
