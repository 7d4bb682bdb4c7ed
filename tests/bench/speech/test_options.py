"""The options of a command line."""

import argparse

from orpheus_server.bench import command
from orpheus_server.bench.client.speech import Target
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.options import Options, options_of


def options(*arguments: str) -> Options:
    parser = argparse.ArgumentParser(prog="orpheus-server bench")
    command.add_arguments(parser)
    return options_of(parser.parse_args(["http://host", *arguments]))


def test_defaults() -> None:
    assert options() == Options(
        target=Target("http://host"),
        peer=None,
        texts=("short", "medium", "long"),
        concurrency=(1, 2, 4, 8, 16),
        rates_per_sec=(),
        rounds=3,
        num_requests=None,
        duration_sec=None,
        stagger_sec=0.0,
        seed=1,
        num_warmups=2,
        burst=None,
        num_bursts=10,
    )


def test_the_peer() -> None:
    """Like the target, but for what `--peer` and its options say."""
    peer = options("--peer=http://peer", "--model=a", "--voice=leo", "--no-stream").peer
    assert peer == Target("http://peer", model="a", voice="leo", is_streaming=False)
    other = options("--peer=http://peer", "--voice=leo", "--peer-voice=af", "--peer-model=b").peer
    assert other == Target("http://peer", model="b", voice="af")


def test_levels() -> None:
    closed, opened = options("--concurrency=1,4"), options("--rate=0.5,2")
    assert closed.levels("short") == (Level("short", 1), Level("short", 4))
    assert opened.levels("long") == (
        Level("long", rate_per_sec=0.5),
        Level("long", rate_per_sec=2.0),
    )
    assert opened.concurrency == ()


def test_the_target() -> None:
    found = options("--voice=leo", "--no-stream", "--realtime-readers", "--timeout-sec=9")
    assert found.target == Target(
        "http://host",
        voice="leo",
        is_streaming=False,
        reads_in_real_time=True,
        timeout_sec=9.0,
    )
