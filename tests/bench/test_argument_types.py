"""The values that each argument type accepts and rejects; `test_command.py` tests the messages."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from orpheus_server.bench.argument_types import (
    burst,
    count,
    count_or_zero,
    list_of,
    minutes,
    output_file,
    rate,
    seconds,
    text_length,
    url,
)


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (url, "https://host:8880", "https://host:8880"),
        (count, "1", 1),
        (count_or_zero, "0", 0),
        (seconds, "0.25", 0.25),
        (minutes, "90", 90.0),
        (rate, "0.5", 0.5),
        (text_length, "long", "long"),
        (list_of(count), "3, 1", (3, 1)),
        (burst, "5, 2", (5, 2)),
        (output_file, "bench.json", Path("bench.json")),
    ],
)
def test_accepted(convert: Callable[[str], object], text: str, value: object) -> None:
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (url, "ftp://host"),
        (count, "0"),
        (count, "²"),
        (count_or_zero, "-1"),
        (seconds, "inf"),
        (minutes, "nan"),
        (rate, "0"),
        (text_length, "Short"),
        (list_of(text_length), "short,short"),
        (burst, "5,1,2"),
        (output_file, "/"),
    ],
)
def test_rejected(convert: Callable[[str], object], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        convert(text)
