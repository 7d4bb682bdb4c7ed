"""The names of levels."""

from orpheus_server.bench.speech.level import Level


def test_the_name() -> None:
    assert Level("short", 4).name == "short, 4 users"
