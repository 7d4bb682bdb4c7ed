"""`bench --frontend`: everything but engine and codec, at the pace of a full engine."""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass

import uvicorn

from orpheus_server.audio.snac.windows import HOPS
from orpheus_server.bench.client.player import Piece, play
from orpheus_server.bench.machine_card import ServerFacts, read_card
from orpheus_server.bench.offline.codec_bench import FRAMES_PER_SEC
from orpheus_server.bench.offline.prepared import PreparedBackend, open_synthesizer
from orpheus_server.bench.report import card_text, json_line
from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.fakes import PacedEngine
from orpheus_server.interfaces import TokenRequest
from orpheus_server.synthesis.job import SpeechJob, SpeechParams, SpeechStats
from orpheus_server.synthesis.synthesizer import Synthesizer


@dataclass(frozen=True, slots=True)
class Pace:
    """Number of concurrent streams, and the tokens per second of each."""

    num_streams: int
    tokens_per_sec: float


REAL_TIME_TOKENS_PER_SEC = 7 * FRAMES_PER_SEC
PACES = (Pace(256, REAL_TIME_TOKENS_PER_SEC), Pace(128, 2 * REAL_TIME_TOKENS_PER_SEC))
"""The same work at two paces. At exactly real time a player without a buffer always runs dry: the
first audio is 53 ms long and the next frame takes 85 ms. At twice that pace it need not."""

PREBUFFER_SEC = 0.4
"""Buffer of a player at exactly real time: the longest window and the codec's look-ahead."""

SPEECH_SEC = 10.0
_RAMP_SEC = 2.0
"""The streams start evenly over this time; measuring begins after it."""

_MEASURED_SEC = 6.0
_HAND_OFF_SEC = 2.0
_TEXT = "The evening train was late again, so we walked along the river and counted the boats."


@dataclass(frozen=True, slots=True)
class FrontEndRound:
    """The results of one round; CPU time is that of all threads of the process."""

    pace: Pace
    hand_off_us_per_token: float
    cpu_us_per_token: float
    core_share: float
    num_tokens: int
    num_underruns: int
    num_buffered_underruns: int
    windows_per_call: float


def run(parsed: argparse.Namespace) -> int:
    """Measures and prints; returns the exit status."""
    card = read_card()
    print(card_text(card, ServerFacts(None, None)))
    # The event loop that `serve` uses.
    loop_factory = uvicorn.Config("", loop="auto").get_loop_factory()
    rounds = []
    for pace in PACES * parsed.rounds:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            rounds.append(runner.run(_round(pace)))
        print(_line(rounds[-1]))
    for pace in PACES:
        shares = [each.core_share for each in rounds if each.pace == pace]
        print(f"{pace.num_streams} streams: median {statistics.median(shares):.1%} of a core")
    document = {
        "benchmark": "frontend",
        "card": asdict(card),
        "rounds": [asdict(each) for each in rounds],
    }
    line = json_line(document)
    if parsed.json is not None:
        parsed.json.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 0


def _line(each: FrontEndRound) -> str:
    return (
        f"{each.pace.num_streams} streams at {each.pace.tokens_per_sec:.1f} tokens/s: engine "
        f"hand-off {each.hand_off_us_per_token:.2f} us a token, whole front end "
        f"{each.cpu_us_per_token:.2f} us a token ({each.core_share:.1%} of a core), "
        f"{each.num_underruns} underruns, {each.num_buffered_underruns} with "
        f"{PREBUFFER_SEC * 1000:.0f} ms of buffer, {each.windows_per_call:.1f} windows a call"
    )


async def _round(pace: Pace) -> FrontEndRound:
    hand_off = await _measure_hand_off(pace)
    backend = PreparedBackend()
    async with (
        _build_engine(pace) as engine,
        open_synthesizer(engine, backend, max_streams=4 * pace.num_streams) as synthesizer,
    ):
        streams = [
            asyncio.create_task(_listen(synthesizer, index, index * _RAMP_SEC / pace.num_streams))
            for index in range(pace.num_streams)
        ]
        await asyncio.sleep(_RAMP_SEC)
        started, cpu = time.perf_counter(), time.process_time()
        num_tokens, num_calls = engine.num_tokens, backend.num_calls
        await asyncio.sleep(_MEASURED_SEC)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - started
        num_tokens, num_calls = engine.num_tokens - num_tokens, backend.num_calls - num_calls
        heard = await asyncio.gather(*streams)
    stalls = [play(pieces).stalls_sec for pieces in heard]
    late = [play(_buffered(pieces)).stalls_sec for pieces in heard]
    num_frames = num_tokens / ENGLISH.layout.num_slots
    return FrontEndRound(
        pace=pace,
        hand_off_us_per_token=hand_off,
        cpu_us_per_token=cpu / num_tokens * 1e6,
        core_share=cpu / wall,
        num_tokens=num_tokens,
        num_underruns=sum(map(len, stalls)),
        num_buffered_underruns=sum(map(len, late)),
        # Nearly all windows of a long stream have four frames.
        windows_per_call=num_frames / HOPS[-1] / max(1, num_calls),
    )


async def _measure_hand_off(pace: Pace) -> float:
    """CPU microseconds per token of the engine alone: its clock, and a reader of its deltas."""
    engine = _build_engine(pace)
    request = TokenRequest("bench", (1,), ENGLISH.sampling, 1, None)

    async def drain() -> None:
        async with aclosing(engine.generate(request)) as deltas:
            async for _ in deltas:
                pass

    async with engine:
        readers = [asyncio.create_task(drain()) for _ in range(pace.num_streams)]
        await asyncio.sleep(_HAND_OFF_SEC / 4)
        cpu, num_tokens = time.process_time(), engine.num_tokens
        await asyncio.sleep(_HAND_OFF_SEC)
        cpu, num_tokens = time.process_time() - cpu, engine.num_tokens - num_tokens
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    return cpu / num_tokens * 1e6


def _build_engine(pace: Pace) -> PacedEngine:
    return PacedEngine(
        ENGLISH.layout,
        tokens_per_sec=pace.tokens_per_sec,
        num_frames=round(SPEECH_SEC * FRAMES_PER_SEC),
        max_model_len=8192,
    )


async def _listen(synthesizer: Synthesizer, index: int, after_sec: float) -> list[Piece]:
    await asyncio.sleep(after_sec)
    plan = await synthesizer.plan(_TEXT, tags=frozenset())
    params = SpeechParams(
        ENGLISH.default_voice, ENGLISH.sampling, response_format="pcm", seed=index
    )
    job = SpeechJob(f"bench-{index}", synthesizer.chunks_of(plan), params)
    started = time.perf_counter()
    pieces = []
    async with aclosing(synthesizer.stream(job, SpeechStats())) as stream:
        async for piece in stream:
            if piece.data:
                pieces.append(Piece(time.perf_counter() - started, len(piece.data)))
    return pieces


def _buffered(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces as a player with a prebuffer of `PREBUFFER_SEC` takes them."""
    start_sec = pieces[0].at_sec + PREBUFFER_SEC
    return [Piece(max(piece.at_sec, start_sec), piece.num_bytes) for piece in pieces]
