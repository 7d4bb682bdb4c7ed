"""The messages of chat completions, as the language model gets them."""

from typing import Any

import pytest

from tests.support.completions import TEXT, USER, CompletionsClient

IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
SYSTEM = {"role": "system", "content": "Greet the caller."}
SAID = {"role": "assistant", "content": "Yes."}

SKIPPED: dict[str, tuple[dict[str, Any], str | None]] = {
    "a tool call": ({"role": "assistant", "content": None, "tool_calls": CALLS}, None),
    "text with a tool call": (
        {"role": "assistant", "content": "One moment.", "tool_calls": CALLS},
        "One moment.",
    ),
    "the result of a tool": ({"role": "tool", "tool_call_id": "1", "content": "5"}, None),
    "the result of a function": ({"role": "function", "name": "f", "content": "5"}, None),
    "null content of the user": ({"role": "user", "content": None}, None),
    "no content of the assistant": ({"role": "assistant"}, None),
    "an image": ({"role": "user", "content": [IMAGE]}, None),
    "text with an image": (
        {"role": "user", "content": [{"type": "text", "text": "Look."}, IMAGE]},
        "Look.",
    ),
    "audio": ({"role": "user", "content": [SOUND]}, None),
    "a part of a new type": ({"role": "user", "content": [{"type": "hologram"}]}, None),
}


def contents(completions: CompletionsClient) -> list[str]:
    """Returns the texts of the last request to the model."""
    return [message.content for message in completions.chat.requests[-1].messages]


@pytest.mark.parametrize("name", SKIPPED)
def test_what_is_not_text_is_skipped_in_earlier_messages(
    completions: CompletionsClient, name: str
) -> None:
    """The histories of agents with tools, and of chats with an image, were rejected."""
    message, text = SKIPPED[name]
    answer = completions.post(SYSTEM, SAID, message, SAID, {"role": "user", "content": "And now?"})
    assert answer.status_code == 200
    assert answer.headers["x-orpheus-skipped-messages"] == "1"
    kept = [] if text is None else [text]
    texts = "\n\n".join(contents(completions)).split("\n\n")
    assert texts == ["Greet the caller.", "Yes.", *kept, "Yes.", "And now?"]
    assert completions.error(400, SYSTEM, SAID, message)["param"] == "messages"


def test_nothing_is_reported_without_skipped_messages(completions: CompletionsClient) -> None:
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    answer = completions.post(SYSTEM, USER, refusal, USER)
    assert "x-orpheus-skipped-messages" not in answer.headers


def test_the_header_of_a_stream(completions: CompletionsClient) -> None:
    tool = {"role": "tool", "content": "5"}
    answer = completions.spoken(tool, tool, USER, stream=True)
    assert answer.headers["x-orpheus-skipped-messages"] == "2"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([SYSTEM], ["Greet the caller.", "Hello."]),
        ([{"role": "developer", "content": "Greet."}, SYSTEM], ["Greet.\n\nGreet the caller."]),
        ([USER, SAID], ["Good morning!", "Yes.", "Please continue."]),
        ([SAID, SYSTEM], ["Greet the caller.", "Yes.", "Please continue."]),
        ([USER, SYSTEM], ["Greet the caller.", "Good morning!"]),
    ],
)
def test_histories_that_do_not_end_with_the_user(
    completions: CompletionsClient, messages: list[dict[str, Any]], expected: list[str]
) -> None:
    """LiveKit's and Pipecat's agents greet with a system message alone."""
    answer = completions.post(*messages)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == TEXT
    assert contents(completions)[: len(expected)] == expected


@pytest.mark.parametrize(
    "last",
    [
        {"role": "assistant", "content": " "},
        {"role": "assistant", "content": None},
        {"role": "system", "content": ""},
        {"role": "user", "content": [IMAGE]},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, IMAGE]},
        {"role": "tool", "content": "5"},
    ],
)
def test_the_last_message_must_be_text(
    completions: CompletionsClient, last: dict[str, Any]
) -> None:
    assert completions.error(400, USER, last)["param"] == "messages"
    assert completions.chat.requests == []


@pytest.mark.parametrize(
    ("fields", "ignored"),
    [
        ({"tools": [{}], "tool_choice": "none"}, "tools"),
        ({"functions": [{}], "function_call": "none"}, "functions"),
        ({"tools": [], "tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": "none"}, "tool_choice"),
    ],
)
def test_tools_that_may_not_be_called(
    completions: CompletionsClient, fields: dict[str, Any], ignored: str
) -> None:
    answer = completions.post(**fields)
    assert answer.status_code == 200
    assert answer.headers["x-orpheus-ignored-fields"] == ignored


@pytest.mark.parametrize("choice", [None, "auto", "required", {"type": "function"}])
def test_tools_that_may_be_called(completions: CompletionsClient, choice: object) -> None:
    error = completions.error(400, tools=[{}], tool_choice=choice)
    assert (error["param"], error["code"]) == ("tools", "unsupported_value")
