"""Resuming in the middle of a chunk, with the real codec and a scripted engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from orpheus_server.audio.snac.decoder import SnacDecoder, load_codec, use_one_thread
from orpheus_server.concurrency import WorkerPool
from orpheus_server.fakes import Script, ScriptedEngine
from orpheus_server.interfaces import Samples
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from orpheus_server.synthesis.attempt import AttemptRunner
from orpheus_server.synthesis.chunk_buffer import ChunkBuffer
from orpheus_server.synthesis.chunk_synthesizer import ChunkJob, ChunkSynthesizer
from orpheus_server.synthesis.frames import FrameAssembler
from orpheus_server.synthesis.retry import RetryPolicy, derive_seed
from tests.support.app import (
    PARAMS,
    POCKET,
    POCKET_FRONT_END,
    build_prompts,
    join_pieces,
    kept_ids_of,
    loop_from,
    loop_script,
    no_deadline,
    short_script,
    smooth_chunk,
    speech_from,
    speech_ids,
)

pytestmark = pytest.mark.anyio

JOB = ChunkJob(
    request_id="r",
    index=0,
    chunk=POCKET_FRONT_END.prepare("Abcdefg hijklmno. Pqrstuv wxyzabcd."),
    params=PARAMS,
    deadline=no_deadline,
)


@dataclass
class Harness:
    """A chunk synthesizer over the bundled codec."""

    engine: ScriptedEngine
    decoder: SnacDecoder
    chunk_synthesizer: ChunkSynthesizer

    async def audio_of(self, script: Script) -> Samples:
        """Returns the audio of the script's frames, decoded in one utterance."""
        utterance = self.decoder.open_utterance(noise_seed=derive_seed(7, 0), deadline=no_deadline)
        frames = FrameAssembler(POCKET.layout).feed(script.token_ids)
        parts = [await utterance.feed([frame]) for frame in frames]
        samples = np.concatenate([*parts, await utterance.flush()])
        return smooth_chunk(samples, sample_rate=self.decoder.sample_rate)

    async def hear(self, *scripts: Script, num_pieces: int) -> tuple[Samples, ChunkBuffer, int]:
        """Returns the audio, the buffer, and how many samples of the first attempt were heard."""
        self.engine.enqueue(*scripts)
        buffer = ChunkBuffer()
        heard: list[Samples] = []
        speaking = asyncio.create_task(self.chunk_synthesizer.speak(JOB, buffer))
        async with aclosing(buffer.take(whole=False)) as pieces:
            for _ in range(num_pieces):
                heard.append(await anext(pieces))
            num_taken = buffer.num_taken
            buffer.close(await speaking)
            heard += [samples async for samples in pieces]
        return join_pieces(heard), buffer, num_taken


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    pool = WorkerPool(2, initializer=use_one_thread)
    codec = load_codec(POCKET_FOLDER / "codec")
    decoder = SnacDecoder(codec, POCKET.layout, torch.device("cpu"), pool)
    engine = ScriptedEngine(lambda request: short_script(29))
    runner = AttemptRunner(POCKET.layout, build_prompts(POCKET), engine, decoder, pool)
    retries = RetryPolicy(max_attempts=5, default=POCKET.sampling)
    yield Harness(
        engine,
        decoder,
        ChunkSynthesizer(runner, POCKET_FRONT_END, pool, retries, may_be_degraded=True),
    )
    await decoder.close()
    await pool.close()


@pytest.mark.parametrize("num_pieces", [1, 4, 9])
async def test_the_audio_is_one_utterance_sample_for_sample(
    harness: Harness, num_pieces: int
) -> None:
    """The codec looks 2.3 frames ahead, so heard samples depend on the frames after them."""
    heard, buffer, num_taken = await harness.hear(
        loop_script(20), loop_from(20, 30), speech_from(24, 40), num_pieces=num_pieces
    )
    assert [len(kept_ids_of(request)) // 7 for request in harness.engine.requests] == [0, 20, 24]
    assert num_taken > 0
    np.testing.assert_array_equal(heard, await harness.audio_of(short_script(40)))
    assert buffer.report.verdict is None


async def test_heard_samples_that_depend_on_bad_frames_fade_into_the_new_ones(
    harness: Harness,
) -> None:
    """All heard samples lie in good frames, but the last ones were decoded with bad frames."""
    heard, buffer, num_taken = await harness.hear(
        loop_script(20), speech_from(20, 40), num_pieces=14
    )
    assert kept_ids_of(harness.engine.requests[1]) == speech_ids(20)
    assert buffer.report.verdict is None
    whole = await harness.audio_of(short_script(40))
    loop = await harness.audio_of(Script(loop_script(20).token_ids[: 60 * 7]))
    np.testing.assert_array_equal(heard[:num_taken], loop[:num_taken])
    assert heard.size == whole.size
    assert (heard[:num_taken] != whole[:num_taken]).any()
    np.testing.assert_array_equal(heard[num_taken + 240 :], whole[num_taken + 240 :])
    assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(whole)).max()


async def test_new_speech_follows_a_loop_that_was_heard(harness: Harness) -> None:
    heard, buffer, num_taken = await harness.hear(loop_script(8), speech_from(8, 40), num_pieces=12)
    assert buffer.report.verdict is not None
    whole = await harness.audio_of(short_script(40))
    num_after = heard.size - num_taken
    np.testing.assert_array_equal(heard[num_taken + 240 :], whole[-num_after + 240 :])
    # The new speech starts with the ninth frame.
    num_lead = 40 * 2048 - whole.size
    assert whole.size - num_after == 8 * 2048 - num_lead
    assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(whole)).max()
