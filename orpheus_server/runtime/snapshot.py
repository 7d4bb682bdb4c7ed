"""The state of the server at the moment of a scrape, and its metrics for Prometheus."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """The memory of one device in bytes."""

    device: int
    used_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class ChatState:
    """The state of the language model, if there is one."""

    is_up: bool
    num_replies: int
    num_restarts: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the server at the time of a scrape; counts are since the start."""

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
    """Provides snapshots of the server's state."""

    def snapshot(self) -> Snapshot:
        """Returns the current state."""


class SnapshotCollector:
    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        now = self._source.snapshot()
        states = GaugeMetricFamily(
            "orpheus_requests_active",
            "Requests by state: queued, being generated, or generated and still being sent.",
            labels=("state",),
        )
        states.add_metric(("queued",), now.num_queued)
        states.add_metric(("generating",), now.num_generating)
        states.add_metric(("draining",), now.num_draining)
        yield states
        for name, text, value in (
            ("sessions_active", "Open WebSocket sessions.", now.num_sessions),
            ("generations_active", "Generations in the engine.", now.num_generations),
            ("capacity_streams", "Measured capacity in streams.", now.num_streams_capacity),
            ("engine_up", "1 while the engine is serving.", now.is_engine_up),
            ("kv_cache_usage_ratio", "Share of the key-value cache in use.", now.kv_cache_share),
            ("threads", "Threads of the server's process.", threading.active_count()),
            ("tasks", "Tasks on the server's event loop.", _num_tasks()),
        ):
            yield GaugeMetricFamily(f"orpheus_{name}", text, value=float(value))
        for name, text, number in (
            (
                "engine_restarts",
                "Restarts of the engine.",
                now.num_engine_restarts,
            ),
            ("chunks", "Chunks of text that were started.", now.num_chunks),
            ("degraded_chunks", "Chunks with degraded audio.", now.num_degraded_chunks),
        ):
            yield CounterMetricFamily(f"orpheus_{name}", text, value=number)
        for name, text, label, counts in (
            ("admission_rejections", "Requests that were rejected.", "reason", now.rejections),
            ("attempt_faults", "Attempts that failed.", "cause", now.attempt_faults),
            ("rollbacks", "Streams resumed from the last good frame.", "cause", now.rollbacks),
        ):
            family = CounterMetricFamily(f"orpheus_{name}", text, labels=(label,))
            for name_of_one, count in counts.items():
                family.add_metric((name_of_one,), count)
            yield family
        if now.chat is not None:
            for name, text, value in (
                ("up", "1 while the language model answers.", now.chat.is_up),
                ("replies_active", "Replies that are being generated.", now.chat.num_replies),
            ):
                yield GaugeMetricFamily(f"orpheus_chat_{name}", text, value=float(value))
            yield CounterMetricFamily(
                "orpheus_chat_restarts",
                "Restarts of the language model.",
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
    except RuntimeError:  # outside of the event loop
        return 0


def gpu_memory(codec_device: str) -> tuple[GpuMemory, ...]:
    """Returns the memory of the codec's GPU, usually also the engine's; empty on CPU."""
    if not codec_device.startswith("cuda"):
        return ()
    import torch

    device = torch.device(codec_device)
    free, total = torch.cuda.mem_get_info(device)
    return (GpuMemory(device.index or 0, used_bytes=total - free, free_bytes=free),)
