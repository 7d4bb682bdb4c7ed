"""Events from bytes that are cut anywhere, and deltas from events."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.chat.remote.answer_stream import (
    DONE,
    MAX_EVENT_BYTES,
    AnswerStream,
    EventStreamParser,
    remote_error_in,
)
from orpheus_server.chat.remote.failures import RemoteError
from orpheus_server.errors import ChatModelFailed, RequestError
from orpheus_server.interfaces import ReplyDelta
from tests.support.stub_llm import chunk, usage

STREAM = (
    b': a comment\nevent: x\ndata: {"a": 1}\n\ndata:{"b": "\xe2\x80\xa8\xc2\x85"}\r\n\r\n'
    b"data: \ndata\nid: 7\n\ndata: [DONE]"
)
EVENTS = ['{"a": 1}', '{"b": "\u2028\x85"}', "[DONE]"]


def events_of(pieces: list[bytes]) -> list[str]:
    lines = EventStreamParser()
    found = [event for piece in pieces for event in lines.feed(piece)]
    return [*found, *lines.flush()]


def test_events_of_a_stream() -> None:
    """A line separator within JSON does not end the line."""
    assert events_of([STREAM]) == EVENTS


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_byte_order_mark(size: int) -> None:
    """The first event after it was lost, and with it the first words."""
    stream = b'\xef\xbb\xbfdata: {"a": 1}\n\ndata: [DONE]\n\n'
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert events_of(pieces) == ['{"a": 1}', "[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_cut_anywhere(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    assert events_of(pieces) == EVENTS


def test_an_event_is_complete_with_its_line() -> None:
    """Some servers send the blank line after it only with the next event."""
    lines = EventStreamParser()
    assert lines.feed(b"data: a\nda") == ["a"]
    assert lines.feed(b"ta: b\n") == ["b"]
    assert lines.flush() == []


def test_a_line_without_end() -> None:
    lines = EventStreamParser()
    assert lines.feed(b"x" * MAX_EVENT_BYTES) == []
    with pytest.raises(ValueError, match="too long"):
        lines.feed(b"x")


def test_not_utf_8() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        EventStreamParser().feed(b"data: \xff\n")


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
