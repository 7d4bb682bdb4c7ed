"""Bodies against the OpenAPI document: no value that it forbids is accepted."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from starlette.testclient import TestClient

from orpheus_server.chat.echo import EchoModel
from tests.support.app import FakeServer

MESSAGE = {"role": "user", "content": "Hi."}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/audio/speech": {"input": "Hi.", "voice": {"id": "rms"}},
    "/v1/tts": {"prompt": "Hi."},
    "/v1/chat": {"message": "Hi.", "voice": {"id": "rms"}, "history": [MESSAGE]},
    "/v1/chat/completions": {
        "messages": [
            {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]},
            {"role": "assistant", "audio": {"id": "audio_1"}},
            MESSAGE,
        ],
        "audio": {"voice": {"id": "rms"}, "format": "wav"},
        "stream_options": {"include_usage": True},
        "response_format": {"type": "text"},
    },
}
VALUES: list[Any] = [None, True, False, -1, 0, 1, 1.5, 150, 1e308, 2**64, "", "1", "true", "null"]
VALUES += [[], {}, [None], [1], [[]], [{}], ["text"], {"id": 1}, {"type": 1}, {"role": "user"}]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with FakeServer(chat=EchoModel()).client() as client:
        yield client


def schema_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Returns the schema of a route's body, with everything that it refers to."""
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return {**content["schema"], "components": document["components"]}


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the schema's alternatives without references."""
    alternatives = schema.get("anyOf", [schema])
    names = [each.get("$ref", "").rpartition("/")[2] for each in alternatives]
    known = document["components"]["schemas"]
    return [known.get(name, each) for name, each in zip(names, alternatives, strict=True)]


def changed(
    value: Any, schema: dict[str, Any], document: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yields the value with one of its fields changed, at any depth, and the name of the field."""
    for option in resolved(schema, document):
        if isinstance(value, dict):
            for name, inner in option.get("properties", {}).items():
                for other in VALUES:
                    yield name, {**value, name: other}
                for label, other in changed(value.get(name), inner, document):
                    yield f"{name}.{label}", {**value, name: other}
        if isinstance(value, list) and "items" in option:
            for index, each in enumerate(value):
                for label, other in changed(each, option["items"], document):
                    yield f"{index}.{label}", [*value[:index], other, *value[index + 1 :]]


@pytest.mark.parametrize("path", BODIES)
def test_a_value_that_the_document_forbids(client: TestClient, path: str) -> None:
    """`"top_p": true` of `/tts` was taken for 1.0."""
    document = client.get("/openapi.json").json()
    schema = schema_of(document, path)
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(BODIES[path])
    bodies = list(changed(BODIES[path], schema, document))
    forbidden = [(name, body) for name, body in bodies if not validator.is_valid(body)]
    assert {name for name, _ in forbidden} == {name for name, _ in bodies}
    statuses = [client.post(path, json=body).status_code for _, body in forbidden]
    assert [
        (name, status)
        for (name, _), status in zip(forbidden, statuses, strict=True)
        if status != 400
    ] == []
