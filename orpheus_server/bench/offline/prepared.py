"""The real front end on an engine and a codec that return prepared tokens and samples.

The synthesizer, its pool, the batcher and the `pcm` encoder are the real ones.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import numpy as np
from snac import SNAC
from tokenizers import Tokenizer, models, pre_tokenizers

from orpheus_server.audio.snac.batcher import Batcher
from orpheus_server.audio.snac.cropped import CroppedDecoder, WindowShape
from orpheus_server.audio.snac.decoder import EXACT_FIRST_FRAMES, SnacUtterance
from orpheus_server.audio.snac.windows import HOPS, Window, WindowCutter
from orpheus_server.bench.offline.codec_bench import FRAMES_PER_SEC
from orpheus_server.checkpoints.published import ENGLISH, SNAC_24KHZ
from orpheus_server.concurrency import WorkerPool
from orpheus_server.interfaces import Deadline, Samples, TokenEngine
from orpheus_server.synthesis.attempt import AttemptRunner
from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.chunk_synthesizer import ChunkSynthesizer
from orpheus_server.synthesis.prompts import PromptBuilder
from orpheus_server.synthesis.retry import RetryPolicy
from orpheus_server.synthesis.synthesizer import Synthesizer
from orpheus_server.text.chunking import limits_for
from orpheus_server.text.front_end import LETTERS


class PreparedBackend:
    """Returns soft noise for every window at once; it is never silent."""

    max_windows = dict.fromkeys(HOPS, 64)

    def __init__(self) -> None:
        self._samples = np.random.default_rng(0).normal(0, 0.1, 8 * 2048).astype(np.float32)
        self.num_calls = 0

    def decode(self, windows: Sequence[Window], seeds: Sequence[int]) -> list[Samples]:
        """See `Backend`."""
        self.num_calls += 1
        return [self._samples[window.skip : window.stop] for window in windows]


class PreparedDecoder:
    """The codec's own windows and batches, on a prepared backend."""

    sample_rate = 24_000
    samples_per_frame = 2048

    def __init__(self, backend: PreparedBackend, pool: WorkerPool) -> None:
        model = CroppedDecoder(
            SNAC(**(SNAC_24KHZ | {"decoder_dim": 32, "encoder_dim": 2})), ENGLISH.layout.slot_levels
        )
        self._shapes: dict[int, WindowShape] = {hop: model.shape_for(hop) for hop in HOPS}
        self._pool = pool
        self._batcher = Batcher(backend, pool)

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> SnacUtterance:
        """See `SnacDecoder`."""
        cutter = WindowCutter(self._shapes, samples_per_frame=2048, first_frames=EXACT_FIRST_FRAMES)
        return SnacUtterance(
            cutter, self._batcher, self._pool, ENGLISH.layout.codebook_size, noise_seed, deadline
        )

    async def close(self) -> None:
        """Fails the calls that are still waiting."""
        self._batcher.close()


@asynccontextmanager
async def open_synthesizer(
    engine: TokenEngine, backend: PreparedBackend, *, max_streams: int
) -> AsyncGenerator[Synthesizer, None]:
    """A synthesizer of the English checkpoint on prepared tokens and samples."""
    pool = WorkerPool(2)
    decoder = PreparedDecoder(backend, pool)
    prompts = PromptBuilder(ENGLISH, _letter_tokenizer())
    runner = AttemptRunner(ENGLISH.layout, prompts, engine, decoder, pool)
    retries = RetryPolicy(max_attempts=1, default=ENGLISH.sampling)
    limits = limits_for(
        ENGLISH,
        frame_sec=1 / FRAMES_PER_SEC,
        chunk_max_chars=500,
        max_model_len=engine.max_model_len,
        max_tokens=4096,
    )
    try:
        yield Synthesizer(
            ChunkSynthesizer(runner, LETTERS, pool, retries, may_be_degraded=True),
            pool,
            sample_rate=decoder.sample_rate,
            limits=limits,
            front_end=LETTERS,
            capacity=Capacity(ceiling=max_streams),
        )
    finally:
        await decoder.close()
        await pool.close()


def _letter_tokenizer() -> Tokenizer:
    """One id per character: the published tokenizer is not at hand, and costs little."""
    alphabet = {chr(code): code - 31 for code in range(32, 127)}
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, **alphabet}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return tokenizer
