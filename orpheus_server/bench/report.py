"""The output of every benchmark: the machine, a table, and one JSON document."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orpheus_server.bench.machine_card import MachineCard, ServerFacts

PERCENTILES = (
    "Percentiles are of complete responses, interpolated linearly between the two nearest values."
)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles, interpolated linearly between the two nearest values."""

    p50: float
    p95: float
    p99: float


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """The percentiles, or None without values."""
    if not values:
        return None
    p50, p95, p99 = np.percentile(values, (50, 95, 99), method="linear")
    return Percentiles(float(p50), float(p95), float(p99))


def card_text(card: MachineCard, server: ServerFacts) -> str:
    """Machine, packages and server, one line each."""
    gpus = ", ".join(card.gpus) or "no GPU"
    packages = ", ".join(f"{name} {version}" for name, version in card.packages.items())
    return (
        f"machine: {card.cpu}, {card.num_cores} cores, {card.memory_gib:.1f} GiB, {gpus}, "
        f"{card.system}\n"
        f"client:  Python {card.python}, {packages}\n"
        f"server:  {server.version or 'unknown version'}; {server.model or 'unknown model'}"
    )


def peer_text(url: str, peer: ServerFacts) -> str:
    """The line about the peer; a server of another project may report neither."""
    version, model = peer.version or "unknown version", peer.model or "unknown model"
    return f"peer:    {version}; {model}; {url}"


def text_table(columns: Sequence[tuple[str, int]], rows: Sequence[Sequence[str]]) -> str:
    """A table with right-aligned cells; `columns` holds (name, width)."""
    lines = [[name for name, _ in columns], *rows]
    widths = [width for _, width in columns]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def milliseconds(times: Percentiles | None) -> str:
    """p50/p95/p99 in milliseconds; a dash for None."""
    if times is None:
        return "-"
    return "/".join(f"{sec * 1000:.0f}" for sec in (times.p50, times.p95, times.p99))


def json_line(document: Mapping[str, object]) -> str:
    """The document on one line; floats are rounded to six decimals."""
    return json.dumps(_rounded(document), allow_nan=False, ensure_ascii=False)


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
