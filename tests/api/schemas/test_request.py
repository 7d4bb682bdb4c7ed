"""Values of a request that stand for a field left out."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from orpheus_server.api.realtime.events import CLIENT_EVENT, SessionStart, UserMessage
from orpheus_server.api.schemas.chat import ChatRequest
from orpheus_server.api.schemas.completion_request import (
    AudioOptions,
    CompletionRequest,
    RequestMessage,
    StreamOptions,
)
from orpheus_server.api.schemas.speech import PromptQuery, PromptRequest, SpeechRequest

MESSAGE = {"role": "user", "content": "Hi."}
BODIES: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (SpeechRequest, {"input": "Hi."}),
    (PromptRequest, {"prompt": "Hi."}),
    (ChatRequest, {"message": "Hi."}),
    (CompletionRequest, {"messages": [MESSAGE]}),
    (RequestMessage, {"role": "user"}),
    (AudioOptions, {}),
    (StreamOptions, {}),
    (SessionStart, {"type": "session.start"}),
    (UserMessage, {"type": "chat.message", "text": "Hi."}),
]
FIELDS = [
    (model, base, name) for model, base in BODIES for name in model.model_fields if name not in base
]


@pytest.mark.parametrize(
    ("model", "base", "name"), FIELDS, ids=[f"{m.__name__}.{name}" for m, _, name in FIELDS]
)
def test_null_is_a_field_left_out(model: type[BaseModel], base: dict[str, Any], name: str) -> None:
    """`null` was an error for `/v1/chat`'s `history` and `stream_text`, and most of `/tts`."""
    assert model.model_validate({**base, name: None}) == model.model_validate(base)
    schema = model.model_json_schema()["properties"][name]
    assert {"type": "null"} in schema["anyOf"]


@pytest.mark.parametrize(("model", "base"), BODIES)
def test_a_required_field_cannot_be_null(model: type[BaseModel], base: dict[str, Any]) -> None:
    for name in base:
        with pytest.raises(ValidationError) as caught:
            model.model_validate({**base, name: None})
        assert [error["type"] for error in caught.value.errors()] == ["missing"]


def test_null_in_an_unknown_field() -> None:
    """It was reported as a field without effect."""
    assert SpeechRequest.model_validate({"input": "Hi.", "language": None}).model_extra == {}


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize(
    ("model", "base", "names"),
    [
        (SpeechRequest, {"input": "Hi."}, ["model", "voice", "response_format"]),
        (PromptRequest, {"prompt": "Hi."}, ["voice"]),
        (PromptQuery, {"prompt": "Hi."}, ["voice"]),
        (ChatRequest, {"message": "Hi."}, ["model", "voice", "response_format"]),
        (CompletionRequest, {"messages": [MESSAGE]}, ["model"]),
        (AudioOptions, {}, ["voice", "format"]),
        (SessionStart, {"type": "session.start"}, ["model", "voice", "response_format"]),
    ],
)
def test_a_blank_name_is_left_out(
    model: type[BaseModel], base: dict[str, Any], names: list[str], blank: str
) -> None:
    for name in names:
        assert model.model_validate({**base, name: blank}) == model.model_validate(base)


NUMBERS: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (SpeechRequest, {"input": "Hi."}, "seed"),
    (SpeechRequest, {"input": "Hi."}, "max_tokens"),
    (ChatRequest, {"message": "Hi."}, "seed"),
    (ChatRequest, {"message": "Hi."}, "max_tokens"),
    (CompletionRequest, {"messages": [MESSAGE]}, "seed"),
    (CompletionRequest, {"messages": [MESSAGE]}, "max_tokens"),
    (CompletionRequest, {"messages": [MESSAGE]}, "max_completion_tokens"),
    (SessionStart, {"type": "session.start"}, "seed"),
    (SessionStart, {"type": "session.start"}, "max_tokens"),
    (UserMessage, {"type": "chat.message", "text": "Hi."}, "seed"),
    (UserMessage, {"type": "chat.message", "text": "Hi."}, "max_tokens"),
    (PromptRequest, {"prompt": "Hi."}, "max_tokens"),
]


@pytest.mark.parametrize(("model", "base", "name"), NUMBERS)
def test_minus_one_is_no_seed_and_no_limit(
    model: type[BaseModel], base: dict[str, Any], name: str
) -> None:
    assert getattr(model.model_validate({**base, name: -1}), name) is None
    for other in ("-1", -1.0, True, -1.5):
        with pytest.raises(ValidationError):
            model.model_validate({**base, name: other})


@pytest.mark.parametrize("number", [-2, 0])
def test_other_numbers_below_the_range(number: int) -> None:
    with pytest.raises(ValidationError):
        SpeechRequest.model_validate({"input": "Hi.", "max_tokens": number})
    assert SpeechRequest.model_validate({"input": "Hi.", "seed": number}).seed == number


def test_no_limit_in_a_query() -> None:
    assert PromptQuery.model_validate({"prompt": "Hi.", "max_tokens": "-1"}).max_tokens is None
    assert PromptQuery.model_validate({"prompt": "Hi.", "max_tokens": "200"}).max_tokens == 200


def test_nulls_in_events() -> None:
    text = '{"type": "session.start", "voice": null, "seed": -1, "history": null, "speed": null}'
    assert CLIENT_EVENT.validate_json(text) == SessionStart(type="session.start")
