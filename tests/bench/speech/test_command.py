"""The whole benchmark against a scripted server: its requests, output and exit status."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from orpheus_server.bench import command
from orpheus_server.bench.client.speech import SpeechClient
from orpheus_server.bench.client.texts import SHORT, text_for
from orpheus_server.bench.speech.ratio_report import RATIO_TITLE
from tests.bench.scripted_server import (
    OVERLOADED,
    SILENCE,
    SOUND,
    Script,
    ScriptedApp,
    serve_script,
)


def bench(url: str, *arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="orpheus-server bench")
    command.add_arguments(parser)
    return command.run(parser.parse_args([url, *arguments]))


def refusal(body: dict[str, Any]) -> Script:
    return Script([json.dumps(OVERLOADED).encode()], status=503)


class TestSweep:
    def test_a_clean_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        # Ten seconds at once: a busy machine that sends the rest late causes no underrun.
        app = ScriptedApp(lambda body: Script([SILENCE + SOUND + 1000 * SILENCE, SOUND]))
        copy = tmp_path / "b.json"
        with serve_script(app) as url:
            status = bench(
                *(url, "--concurrency=1,3", "--texts=short,long", "--rounds=2", "--requests=4"),
                *("--seed=100", "--warmup=1", "--api-key=secret"),
                *("--json", str(copy)),
            )
        captured = capsys.readouterr()
        assert status == 0, captured.err
        lines = captured.out.splitlines()
        assert lines[0].startswith("machine: ")
        assert lines[2] == "server:  7.8.9; a scripted model"
        assert [line.split()[:2] for line in lines[4:8]] == [
            ["short", "1"],
            ["short", "3"],
            ["long", "1"],
            ["long", "3"],
        ]
        assert lines[-2] == (
            "most users without an underrun or a failure in any round: short 3, long 3"
        )
        assert copy.read_text() == lines[-1] + "\n"
        assert "secret" not in captured.out + captured.err

        document = json.loads(lines[-1])
        assert document["benchmark"] == "speech"
        assert document["num_failed"] == 0
        assert document["settings"]["seed"] == 100
        assert document["settings"]["target"]["url"] == url
        assert document["server"] == {"model": "a scripted model", "version": "7.8.9"}
        assert document["highest_concurrency_without_underrun"] == {"short": 3, "long": 3}
        assert [len(each["rounds"]) for each in document["levels"]] == [2] * 4
        assert [each["summary"]["num_requests"] for each in document["levels"]] == [8] * 4

        # The warm-up, then each of four requests in both rounds of two levels.
        requested = Counter((body["input"], body["seed"]) for body in app.bodies[1:])
        expected = {
            (text_for(texts, index), 100 + index)
            for texts in ("short", "long")
            for index in range(4)
        }
        assert requested == dict.fromkeys(expected, 4)
        assert app.bodies[0]["input"] == SHORT[0]

    def test_each_round_starts_at_another_level(self, capsys: pytest.CaptureFixture[str]) -> None:
        with serve_script(ScriptedApp()) as url:
            arguments = ("--concurrency=1,2", "--texts=short,long", "--rounds=2", "--requests=2")
            assert bench(url, *arguments) == 0
        levels = [
            line.removeprefix("orpheus-server bench: ").split(":")[0]
            for line in capsys.readouterr().err.splitlines()
        ]
        assert levels == [
            "round 1/2, short, 1 users",
            "round 1/2, short, 2 users",
            "round 1/2, long, 1 users",
            "round 1/2, long, 2 users",
            "round 2/2, long, 2 users",
            "round 2/2, long, 1 users",
            "round 2/2, short, 2 users",
            "round 2/2, short, 1 users",
        ]

    def test_rates(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = ScriptedApp()
        with serve_script(app) as url:
            arguments = ("--rate=200,400", "--texts=short", "--rounds=1", "--requests=3")
            assert bench(url, *arguments, "--warmup=0", "--seed=9") == 0
        captured = capsys.readouterr()
        assert [line.split(":")[1].strip() for line in captured.err.splitlines()] == [
            "round 1/1, short, 200 requests/s",
            "round 1/1, short, 400 requests/s",
        ]
        document = json.loads(captured.out.splitlines()[-1])
        assert document["settings"]["rates_per_sec"] == [200.0, 400.0]
        assert document["settings"]["concurrency"] == []
        loads = [(each["concurrency"], each["rate_per_sec"]) for each in document["levels"]]
        assert loads == [(None, 200.0), (None, 400.0)]
        assert document["highest_rate_without_underrun"].keys() == {"short"}
        assert "highest_concurrency_without_underrun" not in document
        assert sorted(body["seed"] for body in app.bodies) == [9, 9, 10, 10, 11, 11]

    def test_the_default_number_of_requests(self) -> None:
        app = ScriptedApp()
        with serve_script(app) as url:
            arguments = ("--concurrency=5", "--texts=short", "--rounds=1", "--warmup=0")
            assert bench(url, *arguments) == 0
        assert len(app.bodies) == 10

    def test_failures_are_printed_and_exit_with_1(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The first sentence is answered, so that the warm-up succeeds."""
        app = ScriptedApp(lambda body: Script() if body["input"] == SHORT[0] else refusal(body))
        with serve_script(app) as url:
            arguments = ("--concurrency=1", "--texts=short", "--rounds=1", "--requests=3")
            assert bench(url, *arguments, "--warmup=1") == 1
        captured = capsys.readouterr()
        assert captured.err.endswith("2 x 503 overloaded\n")
        document = json.loads(captured.out.splitlines()[-1])
        assert document["num_failed"] == 2
        assert document["levels"][0]["summary"]["failures"] == {"503 overloaded": 2}


class TestBurst:
    def test_simultaneous_users(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = ScriptedApp()
        with serve_script(app) as url:
            assert bench(url, "--burst=3,2", "--repeats=2", "--warmup=0") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[3] == "2 bursts of 3 users, sentences each: 2"
        document = json.loads(lines[-1])
        assert document["bursts"]["num_requests"] == 6
        assert document["settings"]["burst"] == [3, 2]
        assert "levels" not in document
        assert sorted(body["seed"] for body in app.bodies) == [1, 2, 3, 4, 5, 6]
        assert f"{SHORT[0]} {SHORT[1]}" in [body["input"] for body in app.bodies]

    def test_failures_exit_with_1(self) -> None:
        with serve_script(ScriptedApp(refusal)) as url:
            assert bench(url, "--burst=2,1", "--repeats=1", "--warmup=0") == 1


class ForeignApp(ScriptedApp):
    """Has the speech route only, and breaks off all other requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/v1/audio/speech":
            raise RuntimeError("no such route")
        await super().__call__(scope, receive, send)


class TestPeer:
    @pytest.mark.parametrize("peer_app", [ScriptedApp, ForeignApp])
    @pytest.mark.parametrize("load", ["--concurrency=2", "--rate=400"])
    def test_levels(
        self, capsys: pytest.CaptureFixture[str], load: str, peer_app: type[ScriptedApp]
    ) -> None:
        """Neither server has /metrics or /ready, and the foreign one has no /health either."""
        own, peer = ScriptedApp(), peer_app()
        with serve_script(own) as url, serve_script(peer) as peer_url:
            arguments = (load, "--texts=short,long", "--rounds=2", "--requests=2", "--seed=7")
            keys = ("--api-key=secret", f"--peer={peer_url}", "--peer-voice=af", "--peer-model=m")
            assert bench(url, *arguments, *keys) == 0
        captured = capsys.readouterr()
        lines = captured.out.splitlines()
        is_foreign = peer_app is ForeignApp
        known = "unknown version; unknown model" if is_foreign else "7.8.9; a scripted model"
        assert lines[3] == f"peer:    {known}; {peer_url}"
        assert lines[-2].startswith("peer: most ")
        document = json.loads(lines[-1])
        assert document["settings"]["peer"]["url"] == peer_url
        assert document["peer_server"]["version"] == (None if is_foreign else "7.8.9")
        assert (document["num_failed"], document["peer_num_failed"]) == (0, 0)
        for level in document["levels"]:
            own_p50, peer_p50 = (
                level[summary]["first_audio_sec"]["p50"] for summary in ("summary", "peer_summary")
            )
            ratio = level["peer_over_own"]["first_audio_sec"]["p50"]
            assert ratio == pytest.approx(peer_p50 / own_p50, rel=0.01)

        def requested(app: ScriptedApp) -> Counter[tuple[str, int]]:
            return Counter((body["input"], body["seed"]) for body in app.bodies)

        assert requested(own) == requested(peer)
        assert {(body["model"], body["voice"]) for body in peer.bodies} == {("m", "af")}
        assert {(body["model"], body["voice"]) for body in own.bodies} == {("tts-1", "alloy")}
        assert {headers[b"authorization"] for headers in peer.headers} == {b"Bearer secret"}

    @pytest.mark.parametrize(
        ("argument", "expected"),
        [("--peer-api-key=other", b"Bearer other"), ("--peer-api-key=", None)],
    )
    def test_the_key_of_the_peer(self, argument: str, expected: bytes | None) -> None:
        own, peer = ScriptedApp(), ScriptedApp()
        with serve_script(own) as url, serve_script(peer) as peer_url:
            arguments = ("--concurrency=1", "--texts=short", "--rounds=1", "--requests=1")
            keys = ("--api-key=secret", f"--peer={peer_url}", argument)
            assert bench(url, *arguments, *keys) == 0
        assert {headers.get(b"authorization") for headers in peer.headers} == {expected}
        assert {headers[b"authorization"] for headers in own.headers} == {b"Bearer secret"}

    def test_bursts(self, capsys: pytest.CaptureFixture[str]) -> None:
        own, peer = ScriptedApp(), ScriptedApp()
        with serve_script(own) as url, serve_script(peer) as peer_url:
            arguments = ("--burst=3,2", "--repeats=2", "--warmup=0", f"--peer={peer_url}")
            assert bench(url, *arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[4] == "own: 2 bursts of 3 users, sentences each: 2"
        assert "peer: 2 bursts of 3 users, sentences each: 2" in lines
        assert RATIO_TITLE in lines
        document = json.loads(lines[-1])
        assert document["bursts"]["num_requests"] == document["peer_bursts"]["num_requests"] == 6
        assert document["peer_over_own"]["c200"] == 1.0
        assert sorted(body["input"] for body in own.bodies) == sorted(
            body["input"] for body in peer.bodies
        )

    def test_failures_of_the_peer_exit_with_1(self, capsys: pytest.CaptureFixture[str]) -> None:
        with serve_script(ScriptedApp()) as url, serve_script(ScriptedApp(refusal)) as peer_url:
            arguments = ("--concurrency=1", "--texts=short", "--rounds=1", "--requests=3")
            assert bench(url, *arguments, "--warmup=0", f"--peer={peer_url}") == 1
        document = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (document["num_failed"], document["peer_num_failed"]) == (0, 3)
        assert document["levels"][0]["peer_over_own"]["first_audio_sec"] is None
        assert document["peer_highest_concurrency_without_underrun"] == {"short": None}

    def test_a_peer_that_fails_the_warm_up(self, capsys: pytest.CaptureFixture[str]) -> None:
        with serve_script(ScriptedApp()) as url, serve_script(ScriptedApp(refusal)) as peer_url:
            assert bench(url, f"--peer={peer_url}") == 1
        assert capsys.readouterr().err == (
            "orpheus-server bench: The peer's warm-up request failed: 503 overloaded\n"
        )

    def test_an_unreachable_peer(self, capsys: pytest.CaptureFixture[str]) -> None:
        with serve_script(ScriptedApp()) as peer_url:
            pass
        with serve_script(ScriptedApp()) as url:
            assert bench(url, f"--peer={peer_url}") == 1
        assert capsys.readouterr().err == (
            "orpheus-server bench: The peer's warm-up request failed: no answer: ConnectError\n"
        )


class TestErrorMessages:
    def test_an_unreachable_server(self, capsys: pytest.CaptureFixture[str]) -> None:
        with serve_script(ScriptedApp()) as url:
            pass
        assert bench(url) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"orpheus-server bench: {url}/health does not answer: ")
        assert len(captured.err.splitlines()) == 1

    def test_a_server_that_fails_the_warm_up(self, capsys: pytest.CaptureFixture[str]) -> None:
        with serve_script(ScriptedApp(refusal)) as url:
            assert bench(url) == 1
        captured = capsys.readouterr()
        assert captured.err == (
            "orpheus-server bench: The warm-up request failed: 503 overloaded\n"
        )

    def test_ctrl_c_ends_it_with_130(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def stop(self: SpeechClient) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(SpeechClient, "facts", stop)
        assert bench("http://127.0.0.1:9") == 130
        assert capsys.readouterr() == ("", "orpheus-server bench: stopped\n")
