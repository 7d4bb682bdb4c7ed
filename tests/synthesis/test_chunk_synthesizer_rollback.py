"""Chunks that fail after some audio was heard: the next attempt resumes in the middle."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np
import pytest

from orpheus_server.errors import ChunkFailed, GenerationFailed
from orpheus_server.fakes import Script, ToneDecoder, ToneUtterance
from orpheus_server.interfaces import Deadline, Frame, PostProcess, Samples, as_decoded
from orpheus_server.synthesis.guard import Fault, Verdict
from orpheus_server.synthesis.retry import derive_seed
from tests.support.app import (
    PARAMS,
    Bench,
    heard_of,
    kept_ids_of,
    loop_from,
    loop_script,
    open_bench,
    short_script,
    speech_from,
    speech_ids,
)
from tests.support.chunks import BAD_SCRIPTS, JOB, Live, build_chunk_synthesizer

pytestmark = pytest.mark.anyio


@dataclass
class SlowListener(Live):
    """Takes only `num_pieces` pieces before the chunk has ended."""

    num_pieces: int = 3

    async def run(self) -> Samples:
        speaking = asyncio.create_task(self._speak())
        async with aclosing(self.buffer.take(whole=False)) as pieces:
            while len(self.listener.pieces) < self.num_pieces:
                self.listener.pieces.append(await anext(pieces))
            await speaking
            self.listener.pieces += [samples async for samples in pieces]
        return self.listener.samples


FRAME, FADE = 2048, 120


class TestRollback:
    @pytest.mark.parametrize(
        ("fault", "num_kept"),
        [
            # The good frames, of which three were heard.
            (Fault.LOOP, 9),
            (Fault.STALL, 5),
            # All frames, because nothing is wrong with them.
            (Fault.ENGINE_ERROR, 10),
            # The frames that were heard.
            (Fault.RUNAWAY, 3),
        ],
    )
    async def test_the_listener_hears_one_utterance(
        self, bench: Bench, fault: Fault, num_kept: int
    ) -> None:
        """The audio ended at the fault, without the rest of the text."""
        bench.scripts["r-3-1"] = BAD_SCRIPTS[fault]
        bench.scripts["r-3-2"] = speech_from(num_kept, 29)
        chunk_synthesizer = build_chunk_synthesizer(bench)
        listener = SlowListener(chunk_synthesizer)
        heard = await listener.run()
        np.testing.assert_array_equal(heard, await heard_of(short_script(29)))
        report = listener.buffer.report
        assert (report.num_attempts, report.verdict) == (2, None)
        first, second = bench.engine.requests
        assert second == replace(
            first,
            request_id="r-3-2",
            prompt_token_ids=(*first.prompt_token_ids, *speech_ids(num_kept)),
            max_tokens=first.max_tokens - 7 * num_kept,
            seed=derive_seed(7, 3, 2),
        )
        assert (
            chunk_synthesizer.counts.rollbacks
            == chunk_synthesizer.counts.faults
            == Counter({fault: 1})
        )
        assert (
            chunk_synthesizer.counts.num_attempts,
            chunk_synthesizer.counts.num_degraded_chunks,
        ) == (2, 0)
        num_tokens = report.num_output_tokens - (29 - num_kept) * 7 - 1
        assert num_tokens == 7 * {Fault.LOOP: 20, Fault.STALL: 23, Fault.RUNAWAY: 108}.get(
            fault, 10
        )

    async def test_an_attempt_that_stopped_too_early(self, bench: Bench) -> None:
        bench.scripts["r-3-1"] = short_script(2)
        bench.scripts["r-3-2"] = speech_from(1, 29)
        listener = SlowListener(build_chunk_synthesizer(bench), num_pieces=1)
        np.testing.assert_array_equal(await listener.run(), await heard_of(short_script(29)))
        assert listener.buffer.report.verdict is None
        assert kept_ids_of(bench.engine.requests[1]) == speech_ids(1)

    async def test_a_codec_that_failed_in_the_middle(self) -> None:
        """The codec may have failed on these frames, so the unheard ones are sampled anew."""
        async with open_bench(decoder=BreakingDecoder(num_frames=6)) as bench:
            bench.scripts["r-3-1"] = short_script(29)
            bench.scripts["r-3-2"] = speech_from(3, 29)
            chunk_synthesizer = build_chunk_synthesizer(bench)
            listener = SlowListener(chunk_synthesizer)
            np.testing.assert_array_equal(await listener.run(), await heard_of(short_script(29)))
            assert listener.buffer.report.verdict is None
            assert kept_ids_of(bench.engine.requests[1]) == speech_ids(3)
            assert chunk_synthesizer.counts.rollbacks == Counter({Fault.DECODE_ERROR: 1})

    async def test_without_a_seed_it_samples_anew(self, bench: Bench) -> None:
        bench.scripts["r-3-1"] = loop_script(9)
        listener = SlowListener(
            build_chunk_synthesizer(bench), job=replace(JOB, params=replace(PARAMS, seed=None))
        )
        await listener.run()
        assert [request.seed for request in bench.engine.requests] == [None, None]

    async def test_each_further_one_goes_further_back_but_not_before_what_was_heard(
        self, bench: Bench
    ) -> None:
        """The frames before a loop may lead to it again. From the fourth attempt on, top_p is
        lower, and a text that was partly heard is not split in two."""
        bench.scripts["r-3-1"] = loop_script(20)
        bench.scripts["r-3-2"] = loop_from(20, 22)
        bench.scripts["r-3-3"] = loop_from(16, 17)
        bench.scripts["r-3-4"] = loop_from(5, 12)
        bench.scripts["r-3-5"] = speech_from(3, 29)
        chunk_synthesizer = build_chunk_synthesizer(bench)
        listener = SlowListener(chunk_synthesizer)
        np.testing.assert_array_equal(await listener.run(), await heard_of(short_script(29)))
        requests = bench.engine.requests
        kept = [len(kept_ids_of(request)) // 7 for request in requests]
        # 20 - 0; 22 - 6; 17 - 12; 12 - 18, but three were heard.
        assert kept == [0, 20, 16, 5, 3]
        assert [request.sampling.top_p for request in requests] == [0.9] * 3 + [0.9 * 0.9] * 2
        assert [request.request_id for request in requests][-1] == "r-3-5"
        assert listener.buffer.report.num_attempts == 5
        assert listener.buffer.report.verdict is None
        assert chunk_synthesizer.counts.rollbacks == Counter({Fault.LOOP: 4})

    async def test_a_chunk_whose_loop_was_heard_is_degraded(self, bench: Bench) -> None:
        """The model continues from the good frames, and the new speech follows the loop."""
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = speech_from(9, 29)
        chunk_synthesizer = build_chunk_synthesizer(bench)
        listener = SlowListener(chunk_synthesizer, num_pieces=12)
        heard = await listener.run()
        num_taken = 12 * FRAME - FADE
        loop = await heard_of(loop_script(9))
        speech = await heard_of(short_script(29))
        np.testing.assert_array_equal(heard[:num_taken], loop[:num_taken])
        np.testing.assert_array_equal(heard[num_taken + 240 :], speech[9 * FRAME + 240 :])
        assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(speech)).max()
        verdict = Verdict(Fault.LOOP, 9, "period 1 frames, 12 times")
        assert listener.buffer.report.verdict == verdict
        assert kept_ids_of(bench.engine.requests[1]) == speech_ids(9)
        assert chunk_synthesizer.counts.num_degraded_chunks == 1
        assert chunk_synthesizer.counts.rollbacks == Counter({Fault.LOOP: 1})

    async def test_a_second_fault_after_a_loop_that_was_heard(self, bench: Bench) -> None:
        """The heard part of the loop does not count as frames of the speech."""
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = Script((), error=GenerationFailed("lost"))
        bench.scripts["r-3-3"] = Script(
            speech_from(9, 15).token_ids[:-1], error=GenerationFailed("lost"), fail_at=1000
        )
        bench.scripts["r-3-4"] = speech_from(15, 29)
        listener = SlowListener(build_chunk_synthesizer(bench), num_pieces=12)
        heard = await listener.run()
        kept = [len(kept_ids_of(request)) // 7 for request in bench.engine.requests]
        assert kept == [0, 9, 9, 15]
        speech = await heard_of(short_script(29))
        num_taken = 12 * FRAME - FADE
        np.testing.assert_array_equal(heard[num_taken + 240 :], speech[9 * FRAME + 240 :])
        verdict = listener.buffer.report.verdict
        assert verdict is not None
        assert verdict.fault == Fault.LOOP

    async def test_all_attempts_are_used_up(self, bench: Bench) -> None:
        """The good frames of the last attempt are played to their end, its loop is not."""
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = loop_from(9, 15)
        chunk_synthesizer = build_chunk_synthesizer(bench, max_attempts=2)
        listener = SlowListener(chunk_synthesizer)
        np.testing.assert_array_equal(await listener.run(), await heard_of(short_script(15)))
        verdict = Verdict(Fault.LOOP, 15, "period 1 frames, 12 times")
        assert listener.buffer.report.verdict == verdict
        assert chunk_synthesizer.counts.num_degraded_chunks == 1
        assert chunk_synthesizer.counts.rollbacks == Counter({Fault.LOOP: 1})

    async def test_all_attempts_failed_and_degraded_audio_is_not_allowed(
        self, bench: Bench
    ) -> None:
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = loop_from(9, 15)
        live = SlowListener(build_chunk_synthesizer(bench, may_be_degraded=False, max_attempts=2))
        with pytest.raises(ChunkFailed, match="could not be spoken in 2 attempts"):
            await live.run()
        heard = await heard_of(short_script(29))
        np.testing.assert_array_equal(live.listener.samples, heard[: 3 * FRAME - FADE])

    async def test_the_log_shows_where_each_attempt_resumed(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.scripts["r-3-1"] = loop_script(9)
        with caplog.at_level(logging.DEBUG, logger="orpheus_server"):
            await SlowListener(build_chunk_synthesizer(bench)).run()
        lines = [record.getMessage() for record in caplog.records]
        starts = [
            re.findall(r"attempt=(\d) fault=(\w+) .* resumed_at=(\d+)", line) for line in lines
        ]
        assert starts == [[("1", "loop", "0")], [("2", "none", "9")]]


class BreakingDecoder(ToneDecoder):
    """Fails once, when an utterance has `num_frames` frames."""

    def __init__(self, *, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> ToneUtterance:
        return BreakingUtterance(self, noise_seed, None)


class BreakingUtterance(ToneUtterance):
    def __init__(self, decoder: BreakingDecoder, noise_seed: int, result: None) -> None:
        super().__init__(decoder, noise_seed, result)
        self._breaking = decoder
        self._num_fed = 0

    async def feed(self, frames: Sequence[Frame], finish: PostProcess = as_decoded) -> Samples:
        self._num_fed += len(frames)
        if self._num_fed == self._breaking.num_frames:
            self._breaking.num_frames = 0
            raise GenerationFailed("no memory")
        return await super().feed(frames, finish)
