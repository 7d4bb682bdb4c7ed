"""Builders of exchanges, metrics and soak results with exact values."""

import json
from collections.abc import Mapping, Sequence

from orpheus_server.bench.client.exchange import Exchange
from orpheus_server.bench.client.player import Piece
from orpheus_server.bench.client.server_metrics import ServerMetrics
from orpheus_server.bench.soak.mix import Kind
from orpheus_server.bench.soak.result import Outcome, SoakResult
from tests.bench.scripted_server import SOUND

SECOND = SOUND * 100
TEXT = "Forty-five characters are spoken in three sec"
SPEECH = SECOND * 3
"""A plausible answer to TEXT."""

REQUEST_ID = {"x-request-id": "req_1"}


def metrics(
    *,
    queued: int = 0,
    generating: int = 0,
    sessions: int = 0,
    generations: int = 0,
    threads: int = 10,
    tasks: int = 5,
    restarts: int = 0,
    files: int = 30,
    resident_bytes: int = 1_000_000_000,
    capacity: int = 4,
) -> ServerMetrics:
    """Returns the metrics of a server at rest, with these changes."""
    return ServerMetrics(
        active={"queued": queued, "generating": generating},
        num_sessions=sessions,
        num_generations=generations,
        num_threads=threads,
        num_tasks=tasks,
        num_engine_restarts=restarts,
        num_open_files=files,
        resident_bytes=resident_bytes,
        num_streams_capacity=capacity,
    )


def metrics_text(now: ServerMetrics) -> str:
    """Returns the metrics in the format of `/metrics`."""
    lines = [
        f'orpheus_requests_active{{state="{state}"}} {num}.0' for state, num in now.active.items()
    ]
    lines += [
        f"orpheus_sessions_active {now.num_sessions}.0",
        f"orpheus_generations_active {now.num_generations}.0",
        f"orpheus_threads {now.num_threads}.0",
        f"orpheus_tasks {now.num_tasks}.0",
        "# TYPE orpheus_engine_restarts counter",
        f"orpheus_engine_restarts_total {now.num_engine_restarts}.0",
        f"process_open_fds {now.num_open_files}.0",
        f"process_resident_memory_bytes {now.resident_bytes:e}",
        f"orpheus_capacity_streams {now.num_streams_capacity}.0",
    ]
    return "\n".join(lines) + "\n"


def exchange(
    body: bytes = SPEECH,
    *,
    status: int | None = 200,
    headers: Mapping[str, str] = REQUEST_ID,
    broken: str | None = None,
    is_cut: bool = False,
    started_sec: float = 0.0,
    pieces: Sequence[tuple[float, int]] | None = None,
) -> Exchange:
    """Returns an exchange of 2 s; its body arrives after a quarter of a second."""
    if pieces is None:
        pieces = [(0.25, len(body))] if body else []
    return Exchange(
        started_sec=started_sec,
        total_sec=2.0,
        status=status,
        headers=headers,
        pieces=tuple(Piece(*piece) for piece in pieces),
        body=body,
        broken=broken,
        is_cut=is_cut,
    )


def envelope(kind: str = "invalid_request_error", code: str | None = "invalid_value") -> bytes:
    """Returns an error in OpenAI's envelope."""
    error = {"message": "No.", "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()


def soak_result(
    kind: Kind = "pcm",
    outcome: Outcome = "ok",
    *,
    failure: str | None = None,
    first_audio_sec: float | None = 0.25,
    num_underruns: int | None = 0,
    total_sec: float = 2.0,
) -> SoakResult:
    """Returns the result of a clean stream, with these changes."""
    return SoakResult(
        kind,
        outcome,
        total_sec,
        failure,
        first_audio_sec=first_audio_sec,
        num_underruns=num_underruns,
    )
