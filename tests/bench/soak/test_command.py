"""A whole soak: of the real app over the fakes, and of servers that keep something."""

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from orpheus_server.bench import command
from orpheus_server.bench.client import http_caller
from orpheus_server.bench.client.server_metrics import ServerMetrics
from orpheus_server.bench.soak import command as soak
from orpheus_server.bench.soak.result import SoakResult
from orpheus_server.bench.soak.run import Timing
from orpheus_server.bench.soak.user import pause_after
from orpheus_server.settings import Settings
from tests.bench.scripted_server import Script, ScriptedApp, answer, serve_script
from tests.bench.soaked import metrics, metrics_text
from tests.support.app import FakeServer
from tests.support.served import ServedFakes, wait_until

TIMING = Timing(minute_sec=1.0, health_sec=0.05, rest_poll_sec=0.02, rest_limit_sec=5.0)
HASTY = Timing(minute_sec=0.5, health_sec=0.05, rest_poll_sec=0.01, rest_limit_sec=0.1)


@pytest.fixture(autouse=True)
def _quick_slow_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is truly slow takes longer than all else of a test."""
    monkeypatch.setattr(http_caller, "SLOW_PACE", 100.0)
    monkeypatch.setattr(http_caller, "_SLOW_RECEIVE_BYTES", 1 << 20)


def run(url: str, *arguments: str, timing: Timing = TIMING) -> int:
    parser = argparse.ArgumentParser(prog="orpheus-server bench")
    command.add_arguments(parser)
    parsed = parser.parse_args([url, "--soak=1", "--users=3", *arguments])
    return soak.run(parsed, timing=timing)


@dataclass
class ToldMetrics:
    """Answers `/metrics` with what it is told, and anything else with the app."""

    app: ASGIApp
    tell: Callable[[], ServerMetrics]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/metrics":
            await answer(send, Script([metrics_text(self.tell()).encode()]))
        else:
            await self.app(scope, receive, send)


@dataclass
class TellingServer(FakeServer):
    """The app over the fakes, whose metrics are told by somebody else."""

    settings: Settings = field(default_factory=Settings.model_construct)
    tell: Callable[[], ServerMetrics] = metrics

    def build_app(self) -> FastAPI:
        app = super().build_app()
        app.add_middleware(ToldMetrics, tell=self.tell)
        return app


def test_a_clean_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is real but engine, codec and the process' own figures, which are the test's."""
    copy = tmp_path / "soak.json"
    with ServedFakes(TellingServer()) as served:
        status = run(served.url, "--api-key=secret", "--json", str(copy))
        wait_until(lambda: served.fakes.engine.num_active == 0)
    captured = capsys.readouterr()
    assert status == 0, captured.out
    lines = captured.out.splitlines()
    assert lines[3] == "users: 3"
    assert lines[4].split()[:2] == ["minute", "requests"]
    assert lines[-2] == "no leaks"
    assert copy.read_text() == lines[-1] + "\n"
    assert "secret" not in captured.out + captured.err
    document = json.loads(lines[-1])
    assert document["benchmark"] == "soak"
    assert document["is_clean"] is True
    assert len(document["minutes"]) == 1
    assert document["totals"]["outcomes"]["failed"] == 0
    assert document["totals"]["outcomes"]["ok"] > 0
    assert document["minutes"][0]["health_sec"] is not None
    assert document["settings"]["mix"]["seed"] == 1


def test_our_own_metrics_come_to_rest() -> None:
    """The real `/metrics` of the same app: nothing of it stays active."""
    with ServedFakes(FakeServer(settings=Settings.model_construct())) as served:
        run(served.url, timing=HASTY)
        snapshot = served.fakes.runtime.snapshot
        wait_until(lambda: snapshot().num_sessions == snapshot().num_generating == 0)


def test_a_server_that_leaks(capsys: pytest.CaptureFixture[str]) -> None:
    readings = itertools.count(30)
    server = TellingServer(tell=lambda: metrics(files=next(readings), tasks=5, sessions=1))
    with ServedFakes(server) as served:
        assert run(served.url, timing=HASTY) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "LEAK: 1 sessions are still active" in lines
    assert any(line.startswith("LEAK: ") and "open files" in line for line in lines)
    assert "no leaks" not in lines
    assert json.loads(lines[-1])["is_clean"] is False


def test_wrong_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """Silence for everything; sockets and half bodies have no part in it."""
    app = ScriptedApp(lambda body: Script([bytes(9_600)]))
    with serve_script(ToldMetrics(app, metrics)) as url:
        assert run(url, "--seed=3", timing=HASTY) == 1
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["verdict"]["leaks"] == []
    assert document["totals"]["failures"]["pcm: too short for its text"] >= 1


def test_a_full_server_has_not_failed(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"message": "Full.", "type": "service_unavailable_error", "param": None, "code": "x"}
    refusal = Script(
        [json.dumps({"error": error}).encode()],
        status=503,
        headers={"retry-after": "1", "x-request-id": "req_1"},
    )

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            start: dict[str, Any] = {"type": "websocket.http.response.start", "status": 503}
            headers = [(b"retry-after", b"1")]
            await send({**start, "headers": headers})
            body = refusal.pieces[0]
            await send({"type": "websocket.http.response.body", "body": body})
        elif scope["path"] == "/v1/audio/speech":
            await answer(send, refusal)
        else:
            await ScriptedApp()(scope, receive, send)

    with serve_script(ToldMetrics(refuse, metrics)) as url:
        assert run(url, timing=HASTY) == 0
    outcomes = json.loads(capsys.readouterr().out.splitlines()[-1])["totals"]["outcomes"]
    assert outcomes["refused"] >= 1
    assert outcomes["failed"] == outcomes["ok"] == 0


class TestNoMetrics:
    def test_leaks_cannot_be_seen(self, capsys: pytest.CaptureFixture[str]) -> None:
        with serve_script(ScriptedApp()) as url:
            assert run(url) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == (
            f"orpheus-server bench: {url}/metrics answers 404: leaks cannot be checked; set "
            "--no-leak-check to skip the check.\n"
        )

    def test_without_the_check(self, capsys: pytest.CaptureFixture[str]) -> None:
        settings = Settings.model_construct(enable_metrics=False)
        with ServedFakes(FakeServer(settings=settings)) as served:
            assert run(served.url, "--no-leak-check", timing=HASTY) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2] == "leaks: not checked"
        assert json.loads(lines[-1])["verdict"] is None

    def test_they_are_gone_in_the_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A server that does not answer any more is no clean one."""
        readings = itertools.count()

        def tell() -> ServerMetrics:
            assert next(readings) < 5
            return metrics()

        with ServedFakes(TellingServer(tell=tell)) as served:
            url = served.url
            assert run(url, timing=HASTY) == 1
        assert f"LEAK: {url}/metrics answers 500" in capsys.readouterr().out.splitlines()


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_script(ScriptedApp()) as url:
        pass
    assert run(url) == 1
    assert "does not answer" in capsys.readouterr().err


def test_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(soak, "_measure", stop)
    assert run("http://127.0.0.1:9") == 130


def test_pauses() -> None:
    """As long as was asked for, and never a thousand failures a second."""
    assert pause_after(SoakResult("pcm", "refused", 0.1, retry_after_sec=7)) == 7.0
    assert pause_after(SoakResult("pcm", "failed", 0.1, "no answer")) == 1.0
    assert pause_after(SoakResult("pcm", "ok", 0.1)) == 0.0
