"""Events from bytes that are cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.event_stream import MAX_EVENT_BYTES, EventStreamParser

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
