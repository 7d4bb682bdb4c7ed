"""Argument types for `argparse`: each converts a string or raises `ArgumentTypeError`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from orpheus_server.bench.client.texts import LENGTHS, TextLength

T = TypeVar("T")


def url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with http:// or https://")
    return text


def count(text: str) -> int:
    return _number(text, at_least=1)


def count_or_zero(text: str) -> int:
    return _number(text, at_least=0)


def _number(text: str, *, at_least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < at_least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {at_least} up")
    return int(text)


def seconds(text: str) -> float:
    return _amount(text, "seconds")


def minutes(text: str) -> float:
    return _amount(text, "minutes")


def rate(text: str) -> float:
    return _amount(text, "requests a second")


def _amount(text: str, unit: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {unit} above 0")
    return amount


def text_length(text: str) -> TextLength:
    for length in LENGTHS:
        if text == length:
            return length
    raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(LENGTHS)}")


def list_of(item: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    def parse(text: str) -> tuple[T, ...]:
        items = tuple(item(part.strip()) for part in text.split(","))
        if len(set(items)) < len(items):
            raise argparse.ArgumentTypeError(f"{text!r} names something twice")
        return items

    return parse


def burst(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers such as 5,1")
    return count(parts[0].strip()), count(parts[1].strip())


def output_file(text: str) -> Path:
    """A file that can be written; checked before measuring, not after it."""
    file = Path(text)
    if not file.parent.is_dir() or file.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file in a folder that exists")
    return file
