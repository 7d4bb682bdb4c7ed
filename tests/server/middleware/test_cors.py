"""What browsers let pages of other origins do and read."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.support.keyed import HEADER, keyed


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

    def test_one_of_another_page_allows_nothing(self, shared: TestClient) -> None:
        headers = {**self.PREFLIGHT, "origin": "https://evil.example"}
        answer = shared.options("/v1/audio/speech", headers=headers)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers

    def test_a_page_can_read_answers_and_refusals(self, shared: TestClient) -> None:
        for key, status in ((HEADER, 200), ({}, 401)):
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
        ]

    @pytest.mark.parametrize("headers", [{}, PREFLIGHT])
    def test_without_the_setting_options_is_a_method_like_others(
        self, client: TestClient, headers: dict[str, str]
    ) -> None:
        assert client.options("/v1/audio/speech", headers=headers).status_code == 401
        answer = client.options("/v1/audio/speech", headers={**HEADER, **headers})
        assert answer.status_code == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_bare_options_with_the_setting(self, shared: TestClient) -> None:
        assert shared.options("/v1/audio/speech").status_code == 401
