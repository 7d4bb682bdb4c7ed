"""What Prometheus is told. https://prometheus.io/docs/practices/naming/"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from orpheus_server.chat.reply_timings import ReplyTimings

_ANSWER_BUCKETS_SEC = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
"""Around the second within which somebody who talks expects to hear something."""

_RATE_BUCKETS = (5.0, 10.0, 20.0, 40.0, 82.0, 160.0, 320.0, 640.0, 1280.0, 2560.0)
"""Tokens a second; 82 of the voice are real time."""


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes of one device."""

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
    """Whoever knows."""

    def snapshot(self) -> Snapshot:
        """How it is now."""


class Metrics:
    """One for each app: the counters that handlers raise, and what is read when asked for."""

    def __init__(self, source: Source, *, has_chat: bool = False) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=False)
        registry.register(_SnapshotCollector(source))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Counter(
            "orpheus_requests_finished",
            "HTTP requests that were answered, by route and status.",
            ("route", "status"),
            registry=registry,
        )
        self._utterances = Counter(
            "orpheus_utterances",
            "Speech and chat that were asked for over HTTP or WebSocket, by how they ended.",
            ("route", "outcome"),
            registry=registry,
        )
        self._disconnects = Counter(
            "orpheus_disconnects",
            "Callers who left before their answer was whole, by route.",
            ("route",),
            registry=registry,
        )
        self._chat = _ChatMetrics(registry) if has_chat else None

    def count_request(self, route: str, status: int) -> None:
        """An HTTP request was answered."""
        self._requests.labels(route, str(status)).inc()

    def count_utterance(self, route: str, outcome: str) -> None:
        """Speech ended: `done`, `failed`, `cancelled` or `caller left`."""
        self._utterances.labels(route, outcome.replace(" ", "_")).inc()

    def count_disconnect(self, route: str) -> None:
        """A caller left before its answer was whole."""
        self._disconnects.labels(route).inc()

    def observe_chat(self, timings: ReplyTimings) -> None:
        """An answer of the language model ended, in whichever way."""
        assert self._chat is not None
        self._chat.observe(timings)

    def render(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self._registry)


class _ChatMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"orpheus_chat_{name}", text, buckets=buckets, registry=registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"orpheus_chat_{name}", text, registry=registry)

        times = _ANSWER_BUCKETS_SEC
        self._first_token = histogram(
            "first_token_seconds", "From a message to the first token of its answer.", times
        )
        self._first_audio = histogram(
            "first_audio_seconds", "From a message to the first sound of its answer.", times
        )
        self._sentence = histogram(
            "sentence_seconds", "In which a sentence, or some short ones, were spoken.", times
        )
        self._answer = histogram("answer_seconds", "From a message to the end of it all.", times)
        self._token_rate = histogram(
            "tokens_per_second", "Of the language model, in one answer.", _RATE_BUCKETS
        )
        self._voice_rate = histogram(
            "voice_tokens_per_second", "Of the voice, in one answer.", _RATE_BUCKETS
        )
        self._prompt_tokens = counter("prompt_tokens", "That the language model has read.")
        self._tokens = counter("tokens", "That the language model has written.")
        self._sentences = counter("sentences", "Of the language model that were to be spoken.")
        self._chunks = counter("chunks", "Parts of answers that were spoken.")
        self._voice_tokens = counter("voice_tokens", "Of the voice.")
        self._audio = counter("audio_seconds", "Of speech.")

    def observe(self, timings: ReplyTimings) -> None:
        for histogram, value in (
            (self._first_token, timings.first_token_sec),
            (self._first_audio, timings.first_audio_sec),
            (self._answer, timings.total_sec),
            (self._token_rate, timings.tokens_per_sec or None),
            (self._voice_rate, timings.voice_tokens_per_sec or None),
            *((self._sentence, sec) for sec in timings.chunk_secs),
        ):
            if value is not None:
                histogram.observe(value)
        for counter, number in (
            (self._prompt_tokens, timings.num_prompt_tokens),
            (self._tokens, timings.num_tokens),
            (self._sentences, timings.num_sentences),
            (self._chunks, len(timings.chunk_secs)),
            (self._voice_tokens, timings.num_voice_tokens),
            (self._audio, timings.audio_sec),
        ):
            counter.inc(number)


class _SnapshotCollector:
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
    except RuntimeError:  # outside of the event loop
        return 0


def gpu_memory(codec_device: str) -> tuple[GpuMemory, ...]:
    """Of the codec's GPU, which is the engine's too unless the settings part them; none on CPU."""
    if not codec_device.startswith("cuda"):
        return ()
    import torch

    device = torch.device(codec_device)
    free, total = torch.cuda.mem_get_info(device)
    return (GpuMemory(device.index or 0, used_bytes=total - free, free_bytes=free),)
