"""Deltas from the events of a streamed chat completion."""

import json

import pytest

from orpheus_server.chat.remote.answer_stream import DONE, AnswerStream, remote_error_in
from orpheus_server.chat.remote.failures import RemoteError
from orpheus_server.errors import ChatModelFailed, RequestError
from orpheus_server.interfaces import ReplyDelta
from tests.support.stub_llm import chunk, usage


def taken(answer: AnswerStream, *events: object) -> list[ReplyDelta]:
    """Returns the deltas of the events, and the last one."""
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    deltas = [delta for text in texts if (delta := answer.take(text)) is not None]
    return [*deltas, answer.last()]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi", "Hi"),
        ([{"type": "text", "text": "Hi"}, {"type": "text", "text": " you"}], "Hi you"),
        ([{"type": "thinking", "thinking": []}, "odd", {"text": "Hi"}], "Hi"),
    ],
)
def test_content_of_any_shape(content: object, text: str) -> None:
    event = {"choices": [{"delta": {"content": content}}]}
    assert taken(AnswerStream(), event, DONE) == [
        ReplyDelta(text, 1),
        ReplyDelta("", 0, "stop"),
    ]


@pytest.mark.parametrize("content", [None, "", 7, {}, [], [{}]])
def test_no_content(content: object) -> None:
    event = {"choices": [{"delta": {"content": content}}]}
    assert taken(AnswerStream(), event, DONE) == [ReplyDelta("", 0, "stop")]


@pytest.mark.parametrize(
    ("counts", "last"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, ReplyDelta("", 3, "stop", 3)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, ReplyDelta("", 0, "stop", 0)),
        ({"prompt_tokens": None}, ReplyDelta("", 0, "stop")),
        ({"prompt_tokens": -1, "completion_tokens": "4"}, ReplyDelta("", 0, "stop")),
        (None, ReplyDelta("", 0, "stop")),
    ],
)
def test_counts(counts: object, last: ReplyDelta) -> None:
    events = chunk("Hi"), chunk(finish="stop"), {"choices": [], "usage": counts}
    assert taken(AnswerStream(), *events)[-1] == last


def test_counts_of_every_chunk() -> None:
    """Some servers send counts with every event: the last ones apply."""
    first = {**chunk("Hi"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    answer = AnswerStream()
    assert taken(answer, first, usage(3, 9), DONE) == [
        ReplyDelta("Hi", 1),
        ReplyDelta("", 8, "stop", 3),
    ]


def test_text_that_was_held_back_is_not_lost() -> None:
    assert taken(AnswerStream(), chunk("<thi"), DONE) == [
        ReplyDelta("", 1),
        ReplyDelta("<thi", 0, "stop"),
    ]


def test_no_event_at_all() -> None:
    with pytest.raises(ChatModelFailed, match="not a chat completion"):
        taken(AnswerStream(), DONE)


def test_an_error_with_a_code() -> None:
    with pytest.raises(RequestError):
        AnswerStream().take('{"error": {"code": "context_length_exceeded"}}')


@pytest.mark.parametrize(
    ("error", "remote_error"),
    [
        ("Busy", RemoteError(0, text="busy")),
        (None, RemoteError(0, text="none")),
        ({"code": 500, "param": "x"}, RemoteError(0, "500", "x", "{'code': 500, 'param': 'x'}")),
    ],
)
def test_errors_of_any_shape(error: object, remote_error: RemoteError) -> None:
    assert remote_error_in(error) == remote_error


def test_a_long_error_is_not_read_to_its_end() -> None:
    assert len(remote_error_in("x" * 100_000).text) == 4000
