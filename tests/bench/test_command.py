"""Arguments, and the benchmark that they start."""

import argparse

import pytest

from orpheus_server.bench import command


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="orpheus-server bench")
    command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_defaults() -> None:
    parsed = parse("http://host:8880")
    assert vars(parsed) == {
        "url": "http://host:8880",
        "codec": False,
        "frontend": False,
        "rounds": 3,
        "json": None,
        "concurrency": (1, 2, 4, 8, 16),
        "rate": None,
        "texts": ("short", "medium", "long"),
        "requests": None,
        "duration_sec": None,
        "stagger_sec": 0.0,
        "realtime_readers": False,
        "burst": None,
        "soak": None,
        "overload": False,
        "chat": False,
        "max_tokens": 128,
        "repeats": 10,
        "users": None,
        "no_leak_check": False,
        "max_input_chars": 32768,
        "capacity": None,
        "round_sec": 30.0,
        "model": "tts-1",
        "voice": "alloy",
        "seed": 1,
        "warmup": 2,
        "timeout_sec": 300.0,
        "api_key": None,
        "no_stream": False,
        "peer": None,
        "peer_model": None,
        "peer_voice": None,
        "peer_api_key": None,
    }


def test_lists_and_numbers() -> None:
    parsed = parse("http://host", "--concurrency", "3, 1", "--texts=long,short", "--burst=5,1")
    assert parsed.concurrency == (3, 1)
    assert parsed.texts == ("long", "short")
    assert parsed.burst == (5, 1)
    assert parse("http://host", "--rate=0.5, 2").rate == (0.5, 2.0)
    assert parse("http://host", "--duration", "2.5").duration_sec == 2.5
    assert parse("http://host", "--warmup=0").warmup == 0
    assert parse("http://host", "--soak", "0.5").soak == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments URL --codec --frontend is required"),
        (["http://host", "--codec"], "not allowed with"),
        (["--codec", "--frontend"], "not allowed with"),
        (["host:8880"], "'host:8880' does not begin with http:// or https://"),
        (["http://host", "--concurrency", "1,0"], "'0' is not a whole number from 1 up"),
        (["http://host", "--concurrency", "1,,2"], "'' is not a whole number"),
        (["http://host", "--concurrency", "2,2"], "'2,2' names something twice"),
        (["http://host", "--rate", "0"], "'0' is not a number of requests a second above 0"),
        (["http://host", "--rate", "2,2.0"], "'2,2.0' names something twice"),
        (["http://host", "--rate=1", "--concurrency=4"], "not allowed with argument --rate"),
        (["http://host", "--peer", "peer:8880"], "'peer:8880' does not begin with http://"),
        (["http://host", "--texts", "short,tiny"], "'tiny' is not one of short, medium, long"),
        (["http://host", "--requests", "x"], "'x' is not a whole number from 1 up"),
        (["http://host", "--requests", "4", "--duration-sec", "4"], "not allowed with"),
        (["http://host", "--duration-sec", "0"], "'0' is not a number of seconds above 0"),
        (["http://host", "--timeout-sec", "nan"], "'nan' is not a number of seconds above 0"),
        (["http://host", "--timeout-sec", "soon"], "'soon' is not a number of seconds"),
        (["http://host", "--burst", "5"], "'5' is not two numbers such as 5,1"),
        (["http://host", "--burst", "5,0"], "'0' is not a whole number from 1 up"),
        (["http://host", "--soak", "0"], "'0' is not a number of minutes above 0"),
        (["http://host", "--soak", "1", "--overload"], "not allowed with"),
        (["http://host", "--burst", "5,1", "--overload"], "not allowed with"),
        (["http://host", "--warmup", "-1"], "'-1' is not a whole number from 0 up"),
        (["http://host", "--json", "/no/such/a.json"], "is not a file in a folder that exists"),
        (["http://host", "--json", "/"], "'/' is not a file"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("offline.codec", ["--codec"]),
        ("offline.frontend", ["--frontend"]),
        ("speech.command", ["http://host"]),
        ("soak.command", ["http://host", "--soak=1"]),
        ("overload.command", ["http://host", "--overload"]),
        ("chat.command", ["http://host", "--chat"]),
    ],
)
def test_the_benchmark_that_runs(
    monkeypatch: pytest.MonkeyPatch, name: str, arguments: list[str]
) -> None:
    started: list[argparse.Namespace] = []

    def run(parsed: argparse.Namespace) -> int:
        started.append(parsed)
        return 7

    monkeypatch.setattr(f"orpheus_server.bench.{name}.run", run)
    parsed = parse(*arguments)
    assert command.run(parsed) == 7
    assert started == [parsed]
