"""The options of the benchmark of speech."""

from argparse import Namespace
from dataclasses import dataclass

from orpheus_server.bench.client.speech import Target
from orpheus_server.bench.client.texts import TextLength


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. All of it is written to the JSON document, so the API key is left out."""

    target: Target
    texts: tuple[TextLength, ...]
    concurrency: tuple[int, ...]
    rounds: int
    num_requests: int | None
    """Per level; None without a duration means `default_num_requests`."""

    duration_sec: float | None
    stagger_sec: float
    seed: int
    """Seed of the first request; each further one adds 1. Every round uses the same seeds."""

    num_warmups: int
    burst: tuple[int, int] | None
    """Users, and sentences per user; None for a sweep over levels."""

    num_bursts: int


def options_of(parsed: Namespace) -> Options:
    """The options of a command line."""
    return Options(
        target=Target(
            url=parsed.url,
            model=parsed.model,
            voice=parsed.voice,
            is_streaming=not parsed.no_stream,
            reads_in_real_time=parsed.realtime_readers,
            timeout_sec=parsed.timeout_sec,
        ),
        texts=parsed.texts,
        concurrency=parsed.concurrency,
        rounds=parsed.rounds,
        num_requests=parsed.requests,
        duration_sec=parsed.duration_sec,
        stagger_sec=parsed.stagger_sec,
        seed=parsed.seed,
        num_warmups=parsed.warmup,
        burst=parsed.burst,
        num_bursts=parsed.repeats,
    )
