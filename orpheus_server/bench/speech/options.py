"""The options of the benchmark of speech."""

from argparse import Namespace
from dataclasses import dataclass, replace

from orpheus_server.bench.client.speech import Target
from orpheus_server.bench.client.texts import TextLength
from orpheus_server.bench.speech.level import Level


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. All of it is written to the JSON document, so API keys are left out."""

    target: Target
    peer: Target | None
    """A second server that gets the same load; None to measure only one."""

    texts: tuple[TextLength, ...]
    concurrency: tuple[int, ...]
    """Empty for an open loop."""

    rates_per_sec: tuple[float, ...]
    """Empty for a closed loop."""

    rounds: int
    num_requests: int | None
    """Per level; without a duration, None means a default that depends on the level."""

    duration_sec: float | None
    stagger_sec: float
    seed: int
    """Seed of the first request; each further one adds 1. It is also the seed of the arrivals.
    Every round uses the same seeds."""

    num_warmups: int
    burst: tuple[int, int] | None
    """Users, and sentences per user; None for a sweep over levels."""

    num_bursts: int

    def levels(self, texts: TextLength) -> tuple[Level, ...]:
        """The levels with texts of this length."""
        if self.rates_per_sec:
            return tuple(Level(texts, rate_per_sec=rate) for rate in self.rates_per_sec)
        return tuple(Level(texts, concurrency=users) for users in self.concurrency)


def options_of(parsed: Namespace) -> Options:
    """The options of a command line."""
    target = Target(
        url=parsed.url,
        model=parsed.model,
        voice=parsed.voice,
        is_streaming=not parsed.no_stream,
        reads_in_real_time=parsed.realtime_readers,
        timeout_sec=parsed.timeout_sec,
    )
    peer = None
    if parsed.peer is not None:
        peer = replace(
            target,
            url=parsed.peer,
            model=parsed.peer_model or target.model,
            voice=parsed.peer_voice or target.voice,
        )
    return Options(
        target=target,
        peer=peer,
        texts=parsed.texts,
        concurrency=() if parsed.rate else parsed.concurrency,
        rates_per_sec=parsed.rate or (),
        rounds=parsed.rounds,
        num_requests=parsed.requests,
        duration_sec=parsed.duration_sec,
        stagger_sec=parsed.stagger_sec,
        seed=parsed.seed,
        num_warmups=parsed.warmup,
        burst=parsed.burst,
        num_bursts=parsed.repeats,
    )
