"""Attempts over a `Bench`, and failed attempts to resume from."""

from dataclasses import dataclass

from orpheus_server.fakes import Script
from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.attempt import Attempt, AttemptJob
from orpheus_server.synthesis.attempt_audio import ResumePoint
from tests.support.app import PARAMS, POCKET_FRONT_END, Bench, join_pieces, no_deadline

# 30 letters and a stop: 31 phonemes or 29.0625 frames; the limits are 2.9 and 107.8 frames.
JOB = AttemptJob(
    request_id="r",
    chunk=POCKET_FRONT_END.prepare("Abcdefg hijklmno. Pqrstuv wxyzabcd."),
    params=PARAMS,
    noise_seed=99,
    deadline=no_deadline,
)

FRAME = 2048
FADE = 120


async def run(bench: Bench, script: Script, job: AttemptJob = JOB) -> tuple[Attempt, Samples]:
    """Returns the attempt and the samples that it emitted."""
    pieces: list[Samples] = []
    bench.engine.enqueue(script)
    attempt = await bench.runner.run(job, pieces.append)
    return attempt, join_pieces(pieces)


def ignore(samples: Samples) -> None:
    """A sink that drops the samples."""


@dataclass
class Heard:
    """A failed attempt whose first `num_taken` samples were heard."""

    attempt: Attempt
    emitted: Samples
    num_taken: int

    @property
    def heard(self) -> Samples:
        return self.emitted[: self.num_taken]

    def resume_point(self, num_frames: int) -> ResumePoint:
        """Returns where an attempt resumes that keeps `num_frames` frames."""
        audio = self.attempt.audio
        assert audio is not None
        return audio.resume_point_after(
            self.attempt.frames[:num_frames],
            num_taken=self.num_taken,
            untaken=self.emitted[self.num_taken :],
        )


async def fail(bench: Bench, script: Script, *, num_taken: int, job: AttemptJob = JOB) -> Heard:
    attempt, emitted = await run(bench, script, job)
    assert attempt.verdict is not None
    assert emitted.size >= num_taken
    return Heard(attempt, emitted, num_taken)
