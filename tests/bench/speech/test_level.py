"""The names and loads of levels."""

import pytest

from orpheus_server.bench.speech.level import Level


def test_users() -> None:
    level = Level("short", concurrency=4)
    assert (level.name, level.load) == ("short, 4 users", 4)


def test_a_rate() -> None:
    level = Level("long", rate_per_sec=2.5)
    assert (level.name, level.load) == ("long, 2.5 requests/s", 2.5)


def test_either_users_or_a_rate() -> None:
    with pytest.raises(AssertionError):
        Level("short")
    with pytest.raises(AssertionError):
        Level("short", concurrency=1, rate_per_sec=1.0)
