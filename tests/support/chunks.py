"""A chunk synthesizer over a `Bench`, and readers of its chunks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from orpheus_server.errors import GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.chunk_buffer import ChunkBuffer
from orpheus_server.synthesis.chunk_synthesizer import ChunkJob, ChunkSynthesizer
from orpheus_server.synthesis.guard import Fault
from orpheus_server.synthesis.job import ChunkReport
from orpheus_server.synthesis.retry import RetryPolicy, derive_seed
from tests.support.app import (
    PARAMS,
    POCKET,
    POCKET_FRONT_END,
    Bench,
    Listener,
    endless_script,
    garbled_script,
    loop_script,
    no_deadline,
    runaway_script,
    short_script,
    speech_ids,
    stall_script,
)

# The expected length is 29.06 frames for the whole and 15 for each half.
JOB = ChunkJob(
    request_id="r",
    index=3,
    chunk=POCKET_FRONT_END.prepare("Abcdefg hijklmno. Pqrstuv wxyzabcd."),
    params=PARAMS,
    deadline=no_deadline,
)

NOISE_SEED = derive_seed(7, 3)
FIRST_IDS = ["r-3-1", "r-3-2", "r-3-3", "r-3-4-0", "r-3-4-1", "r-3-5-0", "r-3-5-1"]


def build_chunk_synthesizer(
    bench: Bench, *, may_be_degraded: bool = True, max_attempts: int = 5
) -> ChunkSynthesizer:
    retries = RetryPolicy(max_attempts=max_attempts, default=POCKET.sampling)
    return ChunkSynthesizer(
        bench.runner, POCKET_FRONT_END, bench.pool, retries, may_be_degraded=may_be_degraded
    )


@dataclass(frozen=True)
class Spoken:
    """A chunk that was read after its end: its report and its samples."""

    report: ChunkReport
    samples: Samples


async def speak(chunk_synthesizer: ChunkSynthesizer, job: ChunkJob = JOB) -> Spoken:
    buffer = ChunkBuffer()
    report = await chunk_synthesizer.speak(job, buffer)
    buffer.close(report)
    return Spoken(report, await Listener(buffer).listen())


@dataclass
class Live:
    """A chunk that is read while it is generated."""

    chunk_synthesizer: ChunkSynthesizer
    job: ChunkJob = JOB
    buffer: ChunkBuffer = field(default_factory=ChunkBuffer)
    listener: Listener = field(init=False)

    def __post_init__(self) -> None:
        self.listener = Listener(self.buffer)

    async def run(self) -> Samples:
        speaking = asyncio.create_task(self._speak())
        try:
            return await self.listener.listen()
        finally:
            await speaking

    async def _speak(self) -> None:
        try:
            self.buffer.close(await self.chunk_synthesizer.speak(self.job, self.buffer))
        except Exception as error:
            self.buffer.fail(error)


def fail_all(bench: Bench, build: Callable[[], Script]) -> None:
    bench.scripts.update({request_id: build() for request_id in FIRST_IDS})


BAD_SCRIPTS = {
    Fault.LOOP: loop_script(9),
    Fault.STALL: stall_script(5),
    Fault.RUNAWAY: runaway_script(),
    Fault.TOO_SHORT: short_script(2),
    Fault.TOKEN_LIMIT: endless_script(40),
    Fault.BAD_TOKENS: garbled_script(20, num_missing=15),
    Fault.ENGINE_ERROR: Script(speech_ids(20), error=GenerationFailed("lost"), fail_at=70),
}
