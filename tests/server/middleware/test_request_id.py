"""Every answer has an id of its own, which the log and the engine know too."""

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
    def test_every_answer_has_its_own(self, client: TestClient, method: str, path: str) -> None:
        answers = [client.request(method, path) for _ in range(2)]
        ids = {answer.headers["x-request-id"] for answer in answers}
        assert len(ids) == 2
        assert all(REQUEST_ID.fullmatch(each) for each in ids)
        assert all(answer.headers["openai-processing-ms"].isdecimal() for answer in answers)

    def test_it_is_the_one_of_the_log_and_of_the_engine(
        self, server: FakeServer, client: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            answer = client.post("/v1/audio/speech", json={"input": "A secret text."})
        request_id = answer.headers["x-request-id"]
        assert server.engine.requests[0].request_id == f"{request_id}-0-1"
        lines = [record.getMessage() for record in caplog.records]
        assert sum(f"request={request_id} " in line for line in lines) == 1
        assert "secret" not in caplog.text

    def test_a_callers_own_id_is_not_taken_over(self, client: TestClient) -> None:
        """It would let a caller write into the log, or share an id with another request."""
        answer = client.get("/", headers={"x-request-id": "mine"})
        assert REQUEST_ID.fullmatch(answer.headers["x-request-id"])
