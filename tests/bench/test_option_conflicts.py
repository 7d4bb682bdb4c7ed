"""Options that are rejected together."""

import argparse

import pytest

from orpheus_server.bench import command


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="orpheus-server bench")
    command.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://host", "--rate=1", "--burst=5,1"], "--rate cannot be combined with --burst"),
        (["http://host", "--rate=1", "--soak=1"], "--rate cannot be combined with --soak"),
        (["http://host", "--rate=1", "--overload"], "--rate cannot be combined with --overload"),
        (["http://host", "--rate=1", "--chat"], "--rate cannot be combined with --chat"),
        (["--codec", "--rate=1"], "--rate cannot be combined with --codec"),
        (["--frontend", "--rate=1"], "--rate cannot be combined with --frontend"),
        (
            ["http://host", "--peer=http://peer", "--soak=1"],
            "--peer cannot be combined with --soak",
        ),
        (
            ["http://host", "--peer=http://peer", "--overload"],
            "--peer cannot be combined with --overload",
        ),
        (
            ["http://host", "--peer=http://peer", "--chat"],
            "--peer cannot be combined with --chat",
        ),
        (["--codec", "--peer=http://peer"], "--peer cannot be combined with --codec"),
        (["--frontend", "--peer=http://peer"], "--peer cannot be combined with --frontend"),
        (["http://host", "--peer-voice=leo"], "--peer-voice needs --peer"),
        (["http://host", "--peer-model=tts"], "--peer-model needs --peer"),
        (["http://host", "--peer-api-key="], "--peer-api-key needs --peer"),
        (
            ["http://host", "--rate=1", "--stagger-sec=1"],
            "--rate cannot be combined with --stagger-sec: requests arrive at random times",
        ),
    ],
)
def test_conflicts(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert command.run(parse(*arguments)) == 2
    assert capsys.readouterr() == ("", f"orpheus-server bench: error: {message}\n")
