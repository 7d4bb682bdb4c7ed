"""Reads the metrics of the server under test."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from orpheus_server.bench.client.exchange import Exchange
from orpheus_server.bench.client.http_caller import HttpCaller

_PATH = "/metrics"
_TIMEOUT_SEC = 10.0
_STATES = "orpheus_requests_active"
_COUNTS = {
    "num_sessions": "orpheus_sessions_active",
    "num_generations": "orpheus_generations_active",
    "num_threads": "orpheus_threads",
    "num_tasks": "orpheus_tasks",
    "num_engine_restarts": "orpheus_engine_restarts_total",
    "num_open_files": "process_open_fds",
    "resident_bytes": "process_resident_memory_bytes",
    "num_streams_capacity": "orpheus_capacity_streams",
}


class MetricsUnavailable(Exception):
    """The metrics cannot be read, or are not those of this server."""


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    """The metrics of one scrape."""

    active: Mapping[str, int]
    """Requests by state."""

    num_sessions: int
    num_generations: int
    num_threads: int
    num_tasks: int
    num_engine_restarts: int
    """Since the server was started."""

    num_open_files: int
    resident_bytes: int
    """Of the HTTP server's process; an engine in another process is not included."""

    num_streams_capacity: int

    @property
    def is_at_rest(self) -> bool:
        """True if no request, session or generation is active."""
        return not (any(self.active.values()) or self.num_sessions or self.num_generations)


async def read_metrics(caller: HttpCaller) -> ServerMetrics:
    """Scrapes `/metrics`; raises `MetricsUnavailable`."""
    exchange = await caller.get(_PATH, timeout_sec=_TIMEOUT_SEC)
    url = f"{caller.root_url}{_PATH}"
    if exchange.broken is not None:
        raise MetricsUnavailable(f"{url}: {exchange.broken}")
    if exchange.status != 200:
        raise MetricsUnavailable(f"{url} answers {exchange.status}")
    try:
        return parse_metrics(_text_of(exchange))
    except MetricsUnavailable as error:
        raise MetricsUnavailable(f"{url} {error}") from error


def parse_metrics(text: str) -> ServerMetrics:
    """Parses Prometheus' text format; raises `MetricsUnavailable` if a metric is missing."""
    values: dict[str, float] = {}
    active: dict[str, int] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == _STATES:
                    active[sample.labels.get("state", "")] = int(sample.value)
                elif not sample.labels:
                    values[sample.name] = sample.value
        counts = {key: int(values[name]) for key, name in _COUNTS.items() if name in values}
    except (ValueError, OverflowError, IndexError, KeyError) as error:
        raise MetricsUnavailable("is not Prometheus' text format") from error
    missing = [name for key, name in _COUNTS.items() if key not in counts]
    if not active:
        missing.insert(0, _STATES)
    if missing:
        raise MetricsUnavailable(f"lacks {', '.join(missing)}")
    return ServerMetrics(active, **counts)


def _text_of(exchange: Exchange) -> str:
    return exchange.body.decode("utf-8", errors="replace")
