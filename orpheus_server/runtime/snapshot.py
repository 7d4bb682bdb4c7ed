"""The state of the server at the moment of a scrape, and its metrics for Prometheus."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Memory of one device."""

    device: int
    used_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class ChatState:
    """The language model, where there is one."""

    is_up: bool
    num_replies: int
    num_restarts: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The server at the moment of a scrape; counts are since the start."""

    num_queued: int
    num_generating: int
    num_draining: int
    num_sessions: int
    num_generations: int
    num_streams_capacity: int
    is_engine_up: bool
    num_engine_restarts: int
    kv_cache_share: float
    rejections: Mapping[str, int]
    attempt_faults: Mapping[str, int]
    rollbacks: Mapping[str, int]
    num_chunks: int
    num_degraded_chunks: int
    gpu_memory: tuple[GpuMemory, ...] = ()
    chat: ChatState | None = None


class Source(Protocol):
    """Reports the state of the server."""

    def snapshot(self) -> Snapshot:
        """The state now."""


class SnapshotCollector:
    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        now = self._source.snapshot()
        states = GaugeMetricFamily(
            "orpheus_requests_active",
            "Requests by state: waiting for their turn, being made, made and being sent.",
            labels=("state",),
        )
        states.add_metric(("queued",), now.num_queued)
        states.add_metric(("generating",), now.num_generating)
        states.add_metric(("draining",), now.num_draining)
        yield states
        for name, text, value in (
            ("sessions_active", "WebSocket sessions that are open.", now.num_sessions),
            ("generations_active", "Generations in the engine.", now.num_generations),
            ("capacity_streams", "Streams in real time, as measured.", now.num_streams_capacity),
            ("engine_up", "1 while the engine serves.", now.is_engine_up),
            ("kv_cache_usage_ratio", "Share of the key-value cache in use.", now.kv_cache_share),
            ("threads", "Threads of the server's process.", threading.active_count()),
            ("tasks", "Tasks on the server's event loop.", _num_tasks()),
        ):
            yield GaugeMetricFamily(f"orpheus_{name}", text, value=float(value))
        for name, text, number in (
            (
                "engine_restarts",
                "Times that the engine was started again.",
                now.num_engine_restarts,
            ),
            ("chunks", "Chunks of text that were begun.", now.num_chunks),
            ("degraded_chunks", "Chunks whose audio is second best.", now.num_degraded_chunks),
        ):
            yield CounterMetricFamily(f"orpheus_{name}", text, value=number)
        for name, text, label, counts in (
            ("admission_rejections", "Requests that were refused.", "reason", now.rejections),
            ("attempt_faults", "Attempts that failed.", "cause", now.attempt_faults),
            ("rollbacks", "Streams resumed from a good frame.", "cause", now.rollbacks),
        ):
            family = CounterMetricFamily(f"orpheus_{name}", text, labels=(label,))
            for name_of_one, count in counts.items():
                family.add_metric((name_of_one,), count)
            yield family
        if now.chat is not None:
            for name, text, value in (
                ("up", "1 while the language model answers.", now.chat.is_up),
                ("replies_active", "Answers that are being written.", now.chat.num_replies),
            ):
                yield GaugeMetricFamily(f"orpheus_chat_{name}", text, value=float(value))
            yield CounterMetricFamily(
                "orpheus_chat_restarts",
                "Times that the language model was started again.",
                value=now.chat.num_restarts,
            )
        memory = GaugeMetricFamily(
            "orpheus_gpu_memory_bytes", "Memory of the GPUs.", labels=("device", "state")
        )
        for gpu in now.gpu_memory:
            memory.add_metric((str(gpu.device), "used"), gpu.used_bytes)
            memory.add_metric((str(gpu.device), "free"), gpu.free_bytes)
        yield memory


def _num_tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # no event loop is running
        return 0


def gpu_memory(codec_device: str) -> tuple[GpuMemory, ...]:
    """Memory of the codec's GPU, by default also the engine's; empty on CPU."""
    if not codec_device.startswith("cuda"):
        return ()
    import torch

    device = torch.device(codec_device)
    free, total = torch.cuda.mem_get_info(device)
    return (GpuMemory(device.index or 0, used_bytes=total - free, free_bytes=free),)
