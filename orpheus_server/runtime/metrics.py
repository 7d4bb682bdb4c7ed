"""The metrics for Prometheus. https://prometheus.io/docs/practices/naming/"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from orpheus_server.chat.reply_timings import ReplyTimings
from orpheus_server.runtime.snapshot import SnapshotCollector, Source

_ANSWER_BUCKETS_SEC = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
"""Finest around one second, within which a person expects an answer to begin."""

_RATE_BUCKETS = (5.0, 10.0, 20.0, 40.0, 82.0, 160.0, 320.0, 640.0, 1280.0, 2560.0)
"""Tokens per second; the voice is in real time at 82."""


class Metrics:
    """The metrics of one app: counters raised by handlers, and its state read at each scrape."""

    def __init__(self, source: Source, *, has_chat: bool = False) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=False)
        registry.register(SnapshotCollector(source))
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
