"""Whole soaks: of the real app over the fakes, and of servers that leak or answer wrongly."""

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
from tests.bench.builders import metrics, metrics_text
from tests.bench.scripted_server import Script, ScriptedApp, answer, serve_script
from tests.support.app import FakeServer
from tests.support.served import ServedFakes, wait_until

TIMING = Timing(minute_sec=1.0, health_sec=0.05, rest_poll_sec=0.02, rest_limit_sec=5.0)
HASTY = Timing(minute_sec=0.5, health_sec=0.05, rest_poll_sec=0.01, rest_limit_sec=0.1)


@pytest.fixture(autouse=True)
def _quick_slow_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader at the real slow pace would take longer than the rest of a test."""
    monkeypatch.setattr(http_caller, "SLOW_PACE", 100.0)
    monkeypatch.setattr(http_caller, "_SLOW_RECEIVE_BYTES", 1 << 20)


def run(url: str, *arguments: str, timing: Timing = TIMING) -> int:
    parser = argparse.ArgumentParser(prog="orpheus-server bench")
    command.add_arguments(parser)
    parsed = parser.parse_args([url, "--soak=1", "--users=3", *arguments])
    return soak.run(parsed, timing=timing)


@dataclass
class ScriptedMetrics:
    """Answers `/metrics` with scripted metrics, and passes all other requests to the app."""

    app: ASGIApp
    read: Callable[[], ServerMetrics]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/metrics":
            await answer(send, Script([metrics_text(self.read()).encode()]))
        else:
            await self.app(scope, receive, send)


@dataclass
class ScriptedMetricsServer(FakeServer):
    """The app over the fakes, with scripted metrics."""

    settings: Settings = field(default_factory=Settings.model_construct)
    read: Callable[[], ServerMetrics] = metrics

    def build_app(self) -> FastAPI:
        app = super().build_app()
        app.add_middleware(ScriptedMetrics, read=self.read)
        return app


def test_a_clean_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is real except the engine, the codec and the metrics."""
    copy = tmp_path / "soak.json"
    with ServedFakes(ScriptedMetricsServer()) as served:
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


def test_nothing_stays_active_after_a_soak() -> None:
    """The soak reads the real `/metrics` of the app."""
    with ServedFakes(FakeServer(settings=Settings.model_construct())) as served:
        run(served.url, timing=HASTY)
        snapshot = served.fakes.runtime.snapshot
        wait_until(lambda: snapshot().num_sessions == snapshot().num_generating == 0)


def test_a_server_that_leaks(capsys: pytest.CaptureFixture[str]) -> None:
    readings = itertools.count(30)
    server = ScriptedMetricsServer(read=lambda: metrics(files=next(readings), tasks=5, sessions=1))
    with ServedFakes(server) as served:
        assert run(served.url, timing=HASTY) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "LEAK: 1 sessions are still active" in lines
    assert any(line.startswith("LEAK: ") and "open files" in line for line in lines)
    assert "no leaks" not in lines
    assert json.loads(lines[-1])["is_clean"] is False


def test_invalid_audio(capsys: pytest.CaptureFixture[str]) -> None:
    """Every speech request is answered with silence."""
    app = ScriptedApp(lambda body: Script([bytes(9_600)]))
    with serve_script(ScriptedMetrics(app, metrics)) as url:
        assert run(url, "--seed=3", timing=HASTY) == 1
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["verdict"]["leaks"] == []
    assert document["totals"]["failures"]["pcm: too short for its text"] >= 1


def test_refusals_of_a_full_server_are_not_failures(capsys: pytest.CaptureFixture[str]) -> None:
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

    with serve_script(ScriptedMetrics(refuse, metrics)) as url:
        assert run(url, timing=HASTY) == 0
    outcomes = json.loads(capsys.readouterr().out.splitlines()[-1])["totals"]["outcomes"]
    assert outcomes["refused"] >= 1
    assert outcomes["failed"] == outcomes["ok"] == 0


class TestNoMetrics:
    def test_leaks_cannot_be_checked(self, capsys: pytest.CaptureFixture[str]) -> None:
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

    def test_metrics_that_fail_at_the_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A server that no longer answers has not passed."""
        readings = itertools.count()

        def read() -> ServerMetrics:
            assert next(readings) < 5
            return metrics()

        with ServedFakes(ScriptedMetricsServer(read=read)) as served:
            url = served.url
            assert run(url, timing=HASTY) == 1
        assert f"LEAK: {url}/metrics answers 500" in capsys.readouterr().out.splitlines()


def test_an_unreachable_server(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_script(ScriptedApp()) as url:
        pass
    assert run(url) == 1
    assert "does not answer" in capsys.readouterr().err


def test_ctrl_c_ends_it_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(soak, "_measure", stop)
    assert run("http://127.0.0.1:9") == 130


def test_pauses() -> None:
    """A refused user waits for Retry-After, a failed one for a second."""
    assert pause_after(SoakResult("pcm", "refused", 0.1, retry_after_sec=7)) == 7.0
    assert pause_after(SoakResult("pcm", "failed", 0.1, "no answer")) == 1.0
    assert pause_after(SoakResult("pcm", "ok", 0.1)) == 0.0
