"""Base64 of a stream: the joined strings are the encoding of the joined bytes."""

import base64

import pytest

from orpheus_server.api.answers.base64_stream import Base64Stream


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 12, 100])
@pytest.mark.parametrize("num_bytes", [0, 1, 2, 5, 6, 7, 11, 12, 255])
def test_joined_strings(num_bytes: int, size: int) -> None:
    data = bytes(range(num_bytes))
    stream = Base64Stream()
    pieces = [data[start : start + size] for start in range(0, num_bytes, size)]
    strings = [stream.feed(piece) for piece in pieces]
    assert all(len(base64.b64decode(each)) % 6 == 0 for each in strings)
    last = stream.flush()
    assert len(base64.b64decode(last)) < 6
    assert "".join(strings) + last == base64.b64encode(data).decode()
    assert stream.flush() == ""
