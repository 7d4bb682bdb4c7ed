"""Messages for invalid requests: the place of the fault and the real one."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from orpheus_server.server.validation import find_problem


class Part(BaseModel):
    """A part of a message."""

    kind: str
    text: str = ""


class Message(BaseModel):
    """Text, or parts."""

    content: str | Annotated[list[Part], Field(fail_fast=True, max_length=2)]


class Body(BaseModel):
    """A request."""

    messages: list[Message] = []
    stop: Annotated[str, Field(max_length=3)] | Annotated[list[str], Field(max_length=2)] = ""
    voice: str | Part = ""
    speed: Annotated[float, Field(ge=0.5)] = 1.0


@pytest.mark.parametrize(
    ("value", "field", "kind", "message"),
    [
        ([], None, "model_type", "Input should be an object."),
        ({"speed": 0}, "speed", "greater_than_equal", "'speed': Input should be greater than or "),
        ({"stop": ["a"] * 3}, "stop", "too_long", "'stop': List should have at most 2 items after"),
        ({"stop": "abcd"}, "stop", "string_too_long", "'stop': String should have at most 3 "),
        ({"stop": ["a", 1]}, "stop", "string_type", "'stop[1]': Input should be a valid string."),
        (
            {"stop": 1},
            "stop",
            "string_type",
            "'stop': Input should be a valid string or a valid li",
        ),
        ({"voice": 1}, "voice", "string_type", "'voice': Input should be a valid string or an obj"),
        ({"voice": {}}, "voice", "missing", "'voice': 'kind' is missing."),
        (
            {"voice": {"kind": 1}},
            "voice",
            "string_type",
            "'voice.kind': Input should be a valid st",
        ),
        ({"messages": [{}]}, "messages", "missing", "'messages[0]': 'content' is missing."),
        (
            {"messages": [{"content": "a"}, {"content": [{"kind": "b"}, {"text": "c"}]}]},
            *("messages", "missing", "'messages[1].content[1]': 'kind' is missing."),
        ),
        (
            {"messages": [{"content": [1]}]},
            *("messages", "model_type", "'messages[0].content[0]': Input should be an object."),
        ),
        # The first field with an error, however deep another one is.
        ({"speed": 0, "stop": ["a", 1]}, "stop", "string_type", "'stop[1]': "),
        (
            {"messages": 1, "voice": {}},
            "messages",
            "list_type",
            "'messages': Input should be a val",
        ),
    ],
)
def test_problem(value: Any, field: str | None, kind: str, message: str) -> None:
    """The first alternative of a union was blamed: "Input should be a valid string"."""
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(value)
    problem = find_problem(caught.value.errors(), value)
    assert (problem.field, problem.kind) == (field, kind)
    assert problem.message.startswith(message)


def test_a_required_field() -> None:
    with pytest.raises(ValidationError) as caught:
        Part.model_validate({"text": "a"})
    problem = find_problem(caught.value.errors(), {"text": "a"})
    assert problem == ("kind", "missing", "'kind' is required.")
