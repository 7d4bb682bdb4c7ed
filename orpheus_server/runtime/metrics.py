"""Metrics for Prometheus, named as in https://prometheus.io/docs/practices/naming/."""

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
"""Centred on the second within which a listener expects to hear a reply."""

_RATE_BUCKETS = (5.0, 10.0, 20.0, 40.0, 82.0, 160.0, 320.0, 640.0, 1280.0, 2560.0)
"""Tokens per second; 82 of the voice's tokens per second are real time."""


class Metrics:
    """The metrics of one app: counters that handlers increment, and values read at each scrape."""

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
            "Speech and chat requests over HTTP or WebSocket, by route and outcome.",
            ("route", "outcome"),
            registry=registry,
        )
        self._disconnects = Counter(
            "orpheus_disconnects",
            "Clients that disconnected before their response was complete, by route.",
            ("route",),
            registry=registry,
        )
        self._chat = _ChatMetrics(registry) if has_chat else None

    def count_request(self, route: str, status: int) -> None:
        """Counts an HTTP request that was answered."""
        self._requests.labels(route, str(status)).inc()

    def count_utterance(self, route: str, outcome: str) -> None:
        """Counts a finished utterance: `done`, `failed`, `cancelled` or `caller left`."""
        self._utterances.labels(route, outcome.replace(" ", "_")).inc()

    def count_disconnect(self, route: str) -> None:
        """Counts a client that disconnected before its response was complete."""
        self._disconnects.labels(route).inc()

    def observe_chat(self, timings: ReplyTimings) -> None:
        """Records the timings of a finished reply, whatever its outcome."""
        assert self._chat is not None
        self._chat.observe(timings)

    def render(self) -> bytes:
        """Returns the metrics in Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)


class _ChatMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"orpheus_chat_{name}", text, buckets=buckets, registry=registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"orpheus_chat_{name}", text, registry=registry)

        times = _ANSWER_BUCKETS_SEC
        self._first_token = histogram(
            "first_token_seconds", "Time from a message to the first token of its reply.", times
        )
        self._first_audio = histogram(
            "first_audio_seconds", "Time from a message to the first audio of its reply.", times
        )
        self._sentence = histogram(
            "sentence_seconds", "Time to synthesise a sentence, or a few short ones.", times
        )
        self._answer = histogram("answer_seconds", "Time from a message to the reply's end.", times)
        self._token_rate = histogram(
            "tokens_per_second", "Language model tokens per second in one reply.", _RATE_BUCKETS
        )
        self._voice_rate = histogram(
            "voice_tokens_per_second", "Voice tokens per second in one reply.", _RATE_BUCKETS
        )
        self._prompt_tokens = counter("prompt_tokens", "Prompt tokens of the language model.")
        self._tokens = counter("tokens", "Tokens that the language model has generated.")
        self._sentences = counter("sentences", "Sentences of replies to be synthesised.")
        self._chunks = counter("chunks", "Chunks of replies that were synthesised.")
        self._voice_tokens = counter("voice_tokens", "Tokens that the voice has generated.")
        self._audio = counter("audio_seconds", "Seconds of speech in replies.")

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
