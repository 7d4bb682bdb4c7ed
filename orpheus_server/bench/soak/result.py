"""Judges the outcome of each request of a soak."""

from dataclasses import dataclass
from typing import Literal, get_args

from orpheus_server.bench.client import refusal
from orpheus_server.bench.client.exchange import Exchange
from orpheus_server.bench.client.player import play
from orpheus_server.bench.client.sound_check import events_to_sound, sound_defect
from orpheus_server.bench.client.speech import describe
from orpheus_server.bench.soak.mix import Ask, Kind

Outcome = Literal["ok", "refused", "cut", "bad input", "failed"]
"""`refused`: to be retried later; `cut`: by the user; `bad input`: correctly rejected."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, slots=True)
class SoakResult:
    """The result of one request; its times start when the request is sent."""

    kind: Kind
    outcome: Outcome
    total_sec: float
    failure: str | None = None
    first_audio_sec: float | None = None
    """Of complete streams and sessions, including sessions with cancelled utterances."""

    num_underruns: int | None = None
    """Underruns of the simulated player; None for anything but raw PCM."""

    retry_after_sec: int | None = None


def judge(ask: Ask, exchange: Exchange) -> SoakResult:
    """Judges an HTTP request. Decodes audio, so it must not run on the event loop."""

    def result(outcome: Outcome, failure: str | None = None) -> SoakResult:
        return SoakResult(ask.kind, outcome, exchange.total_sec, failure)

    if exchange.is_cut:
        return result("cut")
    if exchange.broken is not None:
        return result("failed", exchange.broken)
    assert exchange.status is not None
    if exchange.status != 200:
        return _judge_error(ask, exchange, exchange.status)
    if ask.mistake is not None:
        return result("failed", f"{ask.mistake.name}: 200 instead of {ask.mistake.status}")
    body, defect = exchange.body, None
    if ask.kind == "sse":
        body, defect = events_to_sound(exchange.body)
    defect = defect or sound_defect(ask.response_format, body, ask.text)
    if defect is not None:
        return result("failed", defect)
    return SoakResult(
        ask.kind,
        "ok",
        exchange.total_sec,
        first_audio_sec=None if ask.kind == "wav" else exchange.first_byte_sec,
        num_underruns=len(play(exchange.pieces).stalls_sec) if ask.kind == "pcm" else None,
    )


def _judge_error(ask: Ask, exchange: Exchange, status: int) -> SoakResult:
    expected = None if ask.mistake is None else ask.mistake.status
    outcome: Outcome = "failed"
    failure = refusal.defect(status, exchange.headers, exchange.body)
    if failure is None and status in refusal.REFUSALS:
        outcome = "refused"
    elif failure is None and status == expected:
        outcome = "bad input"
    elif failure is None:
        failure = describe(status, exchange.body)
        if ask.mistake is not None:
            failure = f"{ask.mistake.name}: {failure} instead of {expected}"
    retry_after_sec = refusal.retry_after_sec(exchange.headers) if outcome == "refused" else None
    return SoakResult(
        ask.kind, outcome, exchange.total_sec, failure, retry_after_sec=retry_after_sec
    )
