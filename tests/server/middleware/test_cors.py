"""What browsers let pages of other origins do and read."""

import logging
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.support.app import FakeServer
from tests.support.keyed import HEADER, keyed

LISTED = (
    *("https://a.example", "app://obsidian.md", "tauri://localhost", "capacitor://localhost"),
    *("chrome-extension://fmkadmapgofadopljbjfkapdkoienihi", "http://127.0.0.1:3000"),
)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with keyed().client() as client:
        yield client


class TestCors:
    PREFLIGHT = {
        "origin": "https://a.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }

    @pytest.fixture
    def shared(self) -> Iterator[TestClient]:
        with keyed(cors_origins="https://a.example").client() as client:
            yield client

    def test_a_preflight_needs_no_key(self, shared: TestClient) -> None:
        answer = shared.options("/v1/audio/speech", headers=self.PREFLIGHT)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST, OPTIONS"
        assert answer.headers["x-request-id"].startswith("req_")

    @pytest.mark.parametrize(
        "names", ["x-custom", "xi-api-key,Content-Type", "X-A, x-b,  user-agent,authorization"]
    )
    def test_any_header_may_be_sent(self, shared: TestClient, names: str) -> None:
        """A page whose library added a header of its own was refused."""
        headers = {**self.PREFLIGHT, "access-control-request-headers": names}
        answer = shared.options("/v1/audio/speech", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-headers"] == names

    def test_a_server_in_the_private_network_may_be_called(self, shared: TestClient) -> None:
        """Chromium asks this before a page of the internet may call a server at home."""
        asking = {**self.PREFLIGHT, "access-control-request-private-network": "true"}
        answer = shared.options("/v1/audio/speech", headers=asking)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-private-network"] == "true"
        answer = shared.options("/v1/audio/speech", headers=self.PREFLIGHT)
        assert "access-control-allow-private-network" not in answer.headers

    def test_origins_of_any_scheme(self) -> None:
        """Obsidian, browser extensions, Tauri and Capacitor could not be listed."""
        with keyed(cors_origins=",".join(LISTED)).client() as client:
            for origin in LISTED:
                headers = {**self.PREFLIGHT, "origin": origin}
                answers = [
                    client.options("/v1/audio/speech", headers=headers),
                    client.get("/v1/models", headers={**HEADER, "origin": origin}),
                    client.get("/tts?prompt=Hi.", headers={**HEADER, "origin": origin}),
                ]
                assert [answer.status_code for answer in answers] == [200] * 3, origin
                assert {answer.headers["access-control-allow-origin"] for answer in answers} == {
                    origin
                }

    def test_a_method_that_no_route_has(self, shared: TestClient) -> None:
        """The answer was plain text."""
        headers = {**self.PREFLIGHT, "access-control-request-method": "DELETE"}
        answer = shared.options("/v1/audio/speech", headers=headers)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"
        assert answer.json()["error"]["code"] == "method_not_allowed"

    def test_a_page_can_read_answers_and_refusals(self, shared: TestClient) -> None:
        for key, status in ((HEADER, 200), ({"authorization": "Bearer wrong"}, 401)):
            answer = shared.get("/v1/models", headers={**key, "origin": "https://a.example"})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == "https://a.example"
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
        answer = shared.get("/v1/models", headers={**HEADER, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers

    def test_what_speech_says_in_its_headers_can_be_read(self, shared: TestClient) -> None:
        answer = shared.post(
            "/v1/audio/speech",
            headers={**HEADER, "origin": "https://a.example"},
            json={"input": "Hi.", "instructions": "Sing."},
        )
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert [name for name in answer.headers if name.startswith("x-orpheus-")] == [
            "x-orpheus-ignored-fields",
            "x-orpheus-queue-ms",
        ]
        assert [name for name in exposed if name.startswith("x-orpheus-")] == [
            "x-orpheus-degraded-chunks",
            "x-orpheus-dropped-symbols",
            "x-orpheus-dropped-tags",
            "x-orpheus-ignored-fields",
            "x-orpheus-left-out",
            "x-orpheus-nothing-to-speak",
            "x-orpheus-queue-ms",
            "x-orpheus-skipped-messages",
        ]

    def test_without_the_setting_no_page_is_allowed_anything(self, client: TestClient) -> None:
        for origin in ("https://a.example", "null", "http://127.0.0.1:3000"):
            answer = client.get("/v1/models", headers={**HEADER, "origin": origin})
            assert answer.status_code == 200
            assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_options_without_a_page_is_a_method_like_others(self, client: TestClient) -> None:
        for headers in ({}, {"origin": "https://a.example"}):
            assert client.options("/v1/audio/speech", headers=headers).status_code == 401
            answer = client.options("/v1/audio/speech", headers={**HEADER, **headers})
            assert answer.status_code == 405
            assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_bare_options_with_the_setting(self, shared: TestClient) -> None:
        assert shared.options("/v1/audio/speech").status_code == 401


class TestRefusedPreflight:
    """It had status 400 in plain text with the setting, and 401 or 405 without."""

    @pytest.mark.parametrize(
        "server",
        [
            keyed(cors_origins="https://a.example"),
            keyed(),
            FakeServer(),
        ],
        ids=["listed origins", "keys", "no keys"],
    )
    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "null", "file://", "https://a.example.evil", "*", "app://x"],
    )
    def test_in_the_envelope(self, server: FakeServer, origin: str) -> None:
        with server.client() as client:
            for path in ("/v1/audio/speech", "/nothing", "/health"):
                answer = client.options(path, headers={**TestCors.PREFLIGHT, "origin": origin})
                assert answer.status_code == 403
                assert answer.json()["error"] == {
                    "message": "This page may not use this server: its origin is not one of "
                    "CORS_ORIGINS.",
                    "type": "permission_error",
                    "param": None,
                    "code": "origin_not_allowed",
                }
                assert not [name for name in answer.headers if name.startswith("access-control")]
                assert answer.headers["x-request-id"].startswith("req_")

    @pytest.mark.parametrize("setting", [None, "https://a.example"])
    def test_each_of_the_first_hundred_origins_is_logged_once(
        self, setting: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A page's developer sees only "CORS error": what to list stood nowhere."""
        with (
            keyed(cors_origins=setting).client() as client,
            caplog.at_level(logging.INFO, logger="orpheus_server.server"),
        ):
            for number in (0, 0, *range(150), 0):
                headers = {**TestCors.PREFLIGHT, "origin": f"https://{number}.example"}
                assert client.options("/v1/audio/speech", headers=headers).status_code == 403
        assert [record.getMessage() for record in caplog.records] == [
            f"preflight refused: the origin 'https://{number}.example' is not one of CORS_ORIGINS"
            for number in range(100)
        ]

    def test_a_long_origin_is_logged_in_part(self, caplog: pytest.LogCaptureFixture) -> None:
        with keyed().client() as client:
            headers = {**TestCors.PREFLIGHT, "origin": "https://" + "x" * 20_000}
            assert client.options("/v1/audio/speech", headers=headers).status_code == 403
        assert "https://" + "x" * 192 + "'" in caplog.text
        assert "x" * 193 not in caplog.text
