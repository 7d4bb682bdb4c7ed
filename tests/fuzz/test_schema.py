"""Valid and invalid requests, generated from the server's OpenAPI document."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from orpheus_server.audio.encoders import FORMATS
from orpheus_server.chat.echo import EchoModel
from orpheus_server.settings import Settings
from tests.fuzz.examples import Effort, efforts, leaves_nothing
from tests.support.app import ANY_BODY, NO_WAIT, POCKET, FakeServer
from tests.support.served import ServedFakes

CHECKS: list[CheckFunction] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REJECTIONS = ["400", "404", "413", "415", "503"]
"""Statuses of rejected input; schemathesis does not take 413 for one, which a long list may get."""

POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE

# Headers and queries that belong to no operation and may be sent with every request.
HEADERS = st.dictionaries(
    st.sampled_from(
        ["accept", "content-encoding", "expect", "range", "if-none-match", "x-request-id", "origin"]
        + ["authorization", "cookie", "forwarded", "x-forwarded-for", "te", "upgrade"]
    ),
    st.sampled_from(["", "*/*", "gzip", "identity", "bytes=0-", "null", "Bearer x", "a=b", "\xff"])
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    max_size=3,
)
QUERIES = st.dictionaries(
    st.text(max_size=5) | st.sampled_from(["format", "legacy", "model", "voice"]),
    st.text(max_size=8) | st.sampled_from(["names", "true", "objects", "2", "\x00"]),
    max_size=3,
)


def open_server(*, is_loaded: bool = True) -> ServedFakes:
    settings = Settings.model_construct() if is_loaded else NO_WAIT
    return ServedFakes(FakeServer(is_loaded=is_loaded, chat=EchoModel(), settings=settings))


def named_responses() -> dict[str, Any]:
    """Returns the document without default responses, so that every status must be named."""
    app = FakeServer().build_app()
    document = app.openapi()
    for methods in document["paths"].values():
        for operation in methods.values():
            del operation["responses"]["default"]
    return document


DOCUMENT = named_responses()
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
# Operations that can receive invalid data: those with a body or a query. Any text is a valid path.
WITH_INPUT = [
    *(
        ("post", path)
        for path in ("/v1/audio/speech", "/v1/chat", "/v1/chat/completions", "/v1/tts")
    ),
    *(("get", path) for path in ("/v1/audio/voices", "/v1/tts")),
]
NEEDING_MODELS = ("/v1/audio/speech", "/v1/chat", "/v1/chat/completions", "/v1/ready", "/v1/tts")

# Valid bodies.
BODIES = st.fixed_dictionaries(
    {"input": st.sampled_from(["Yes.", "Hello there <laugh>.", "Żółw 7!"])},
    optional={
        "model": st.sampled_from(["orpheus", "tts-1", POCKET.name]),
        "voice": st.sampled_from(["rms", "alloy", {"id": "slt"}, None]),
        "response_format": st.sampled_from([*FORMATS, None]),
        "speed": st.floats(0.25, 4.0) | st.integers(1, 4),
        "stream": st.booleans() | st.none(),
        "instructions": st.text(max_size=20),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "temperature": st.floats(0.0, 2.0),
        "top_k": st.integers(0, 200_000),
        "max_tokens": st.integers(100, 8192),
        "a_new_field": st.none() | st.lists(st.integers()),
    },
)


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    with open_server() as served:
        yield served


@pytest.fixture(scope="module")
def loading() -> Iterator[ServedFakes]:
    with open_server(is_loaded=False) as served:
        yield served


def find_operation(method: str, path: str) -> Any:
    statuses = {"negative_data_rejection": {"expected-statuses": REJECTIONS}}
    config = schemathesis.Config.from_dict({"checks": statuses})
    return schemathesis.openapi.from_dict(DOCUMENT, config=config)[path][method]


def check_envelope(answer: schemathesis.Response) -> None:
    """Checks the request id and the error envelope, which the document does not cover."""
    (request_id,) = answer.headers["x-request-id"]
    assert request_id.startswith("req_")
    if not 200 <= answer.status_code < 300:
        error = answer.json()["error"]
        assert sorted(error) == ["code", "message", "param", "type"]
        assert error["message"]
        assert error["code"]


@efforts(quick=25, slow=200)
@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*each, POSITIVE) for each in OPERATIONS] + [(*each, NEGATIVE) for each in WITH_INPUT],
    ids=lambda value: getattr(value, "value", value),
)
def test_responses_match_the_document(
    served: ServedFakes, method: str, path: str, mode: schemathesis.GenerationMode, effort: Effort
) -> None:
    checks = [*CHECKS, not_a_server_error]
    if mode is NEGATIVE:
        checks.append(negative_data_rejection)

    def check(case: Any) -> None:
        answer = case.call(base_url=served.url)
        case.validate_response(answer, checks=checks)
        check_envelope(answer)

    with leaves_nothing(served):
        effort.run(check, case=find_operation(method, path).as_strategy(mode))


@pytest.mark.parametrize(
    ("path", "field"), [("/v1/chat", "history"), ("/v1/chat/completions", "messages")]
)
def test_a_list_that_is_too_long_may_be_too_large(
    served: ServedFakes, path: str, field: str
) -> None:
    """Its 413 was reported as an accepted body."""
    messages = [{"role": "user", "content": "x" * 300}] * 20_001

    def check(case: Any) -> None:
        case.body = {**ANY_BODY, field: messages}
        answer = case.call(base_url=served.url)
        assert answer.status_code == 413
        case.validate_response(answer, checks=[*CHECKS, negative_data_rejection])

    Effort(1).run(check, case=find_operation("post", path).as_strategy(NEGATIVE))


@efforts(quick=25, slow=200)
@pytest.mark.parametrize("stream_format", ["audio", "sse", None])
def test_speech_matches_the_document(
    served: ServedFakes, stream_format: str | None, effort: Effort
) -> None:
    operation = find_operation("post", "/v1/audio/speech")

    def check(body: dict[str, Any]) -> None:
        if stream_format == "sse":
            body.pop("stream", None)
        body["stream_format"] = stream_format
        case = operation.Case(body=body, media_type="application/json")
        answer = case.call(base_url=served.url)
        case.validate_response(answer, checks=CHECKS)
        check_envelope(answer)
        assert answer.status_code == 200, answer.text
        media_type = FORMATS[body.get("response_format") or "wav"].media_type
        expected = "text/event-stream; charset=utf-8" if stream_format == "sse" else media_type
        assert answer.headers["content-type"] == [expected]
        assert answer.content

    with leaves_nothing(served):
        effort.run(check, body=BODIES)


@efforts(quick=25, slow=200)
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
def test_unknown_headers_and_queries_cause_no_errors(
    served: ServedFakes, method: str, path: str, effort: Effort
) -> None:
    def check(case: Any, headers: dict[str, str], query: dict[str, str]) -> None:
        answer = case.call(base_url=served.url, headers=headers, params=query)
        case.validate_response(answer, checks=[*CHECKS, not_a_server_error])
        check_envelope(answer)

    case = find_operation(method, path).as_strategy(POSITIVE)
    with leaves_nothing(served):
        effort.run(check, case=case, headers=HEADERS, query=QUERIES)


@efforts(quick=10, slow=100)
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
def test_while_the_model_loads(
    loading: ServedFakes, method: str, path: str, effort: Effort
) -> None:
    """Only routes that need a model return 503."""
    needs_model = path in NEEDING_MODELS

    def check(case: Any) -> None:
        answer = case.call(base_url=loading.url)
        case.validate_response(answer, checks=CHECKS)
        check_envelope(answer)
        assert answer.status_code < 500 or (needs_model and answer.status_code == 503)
        assert not (needs_model and answer.status_code == 200)

    with leaves_nothing(loading):
        effort.run(check, case=find_operation(method, path).as_strategy(POSITIVE))
