"""The values read from `/metrics`."""

import pytest

from orpheus_server.bench.client.http_caller import HttpCaller
from orpheus_server.bench.client.server_metrics import (
    MetricsUnavailable,
    parse_metrics,
    read_metrics,
)
from orpheus_server.settings import Settings
from tests.bench.builders import metrics, metrics_text
from tests.bench.scripted_server import Script, ScriptedApp, serve_script
from tests.support.app import FakeServer
from tests.support.served import ServedFakes


def test_all_values() -> None:
    now = metrics(queued=1, generating=2, sessions=3, generations=4, restarts=5, files=6)
    assert parse_metrics(metrics_text(now)) == now


def test_at_rest() -> None:
    assert metrics().is_at_rest
    assert not metrics(queued=1).is_at_rest
    assert not metrics(sessions=1).is_at_rest
    assert not metrics(generations=1).is_at_rest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>{", "is not Prometheus' text format"),
        ("", "lacks orpheus_requests_active, orpheus_sessions_active, "),
        (
            metrics_text(metrics()).replace("process_open_fds", "process_fds"),
            "lacks process_open_fds",
        ),
        (metrics_text(metrics()).replace("10.0", "NaN"), "is not Prometheus' text format"),
    ],
)
def test_missing_or_invalid_metrics(text: str, message: str) -> None:
    with pytest.raises(MetricsUnavailable) as raised:
        parse_metrics(text)
    assert str(raised.value).startswith(message)


@pytest.mark.anyio
class TestRead:
    async def test_the_real_app(self) -> None:
        with ServedFakes(FakeServer(settings=Settings.model_construct())) as served:
            async with HttpCaller(served.url) as caller:
                now = await read_metrics(caller)
        assert sorted(now.active) == ["draining", "generating", "queued"]
        assert now.is_at_rest
        assert min(now.num_threads, now.num_tasks, now.num_open_files, now.resident_bytes) > 0
        assert now.num_streams_capacity >= 1

    async def test_a_server_without_metrics(self) -> None:
        with serve_script(ScriptedApp(lambda body: Script())) as url:
            async with HttpCaller(url) as caller:
                with pytest.raises(MetricsUnavailable) as raised:
                    await read_metrics(caller)
        assert str(raised.value) == f"{url}/metrics answers 404"

    async def test_an_unreachable_server(self) -> None:
        with serve_script(ScriptedApp()) as url:
            pass
        async with HttpCaller(url) as caller:
            with pytest.raises(MetricsUnavailable) as raised:
                await read_metrics(caller)
        assert str(raised.value) == f"{url}/metrics: no answer: ConnectError"
