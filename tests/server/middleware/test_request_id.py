"""Every response has its own id, which the log and the engine use too."""

import logging

import pytest
from starlette.testclient import TestClient

from tests.support.app import REQUEST_ID, FakeServer


class TestRequestId:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            *(("GET", path) for path in ("/", "/v1/models", "/health", "/docs", "/nothing")),
            *(("POST", path) for path in ("/v1/audio/speech", "/health")),
            *(("HEAD", "/health"), ("OPTIONS", "/v1/audio/speech")),
        ],
    )
    def test_every_response_has_its_own(self, client: TestClient, method: str, path: str) -> None:
        responses = [client.request(method, path) for _ in range(2)]
        ids = {response.headers["x-request-id"] for response in responses}
        assert len(ids) == 2
        assert all(REQUEST_ID.fullmatch(each) for each in ids)
        assert all(response.headers["openai-processing-ms"].isdecimal() for response in responses)

    def test_the_log_and_the_engine_use_the_same_id(
        self, server: FakeServer, client: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            response = client.post("/v1/audio/speech", json={"input": "A secret text."})
        request_id = response.headers["x-request-id"]
        assert server.engine.requests[0].request_id == f"{request_id}-0-1"
        lines = [record.getMessage() for record in caplog.records]
        assert sum(f"request={request_id} " in line for line in lines) == 1
        assert "secret" not in caplog.text

    def test_an_id_from_the_client_is_ignored(self, client: TestClient) -> None:
        """It would let a client write into the log, or reuse the id of another request."""
        response = client.get("/", headers={"x-request-id": "mine"})
        assert REQUEST_ID.fullmatch(response.headers["x-request-id"])
