"""The audio of one attempt, over a codec with scripted results."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import numpy as np
import pytest

from orpheus_server.audio.samples import empty
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.interfaces import Frame, PostProcess, Samples, as_decoded
from orpheus_server.synthesis.attempt_audio import AttemptAudio
from orpheus_server.synthesis.guard import Fault, Verdict
from tests.support.app import join_pieces, smooth_chunk

pytestmark = pytest.mark.anyio

RATE, FRAME, FADE = 24_000, 2048, 120
FRAMES: list[Frame] = [(index,) * 7 for index in range(20)]


def loud(num_frames: int = 1, level: float = 0.5) -> Samples:
    return np.full(num_frames * FRAME, level, dtype=np.float32)


class Utterance:
    """Returns or raises its results: one for each feed, the last for the flush."""

    def __init__(self, *results: Samples | Exception) -> None:
        self._results = list(results)
        self.fed: list[list[Frame]] = []
        self.skipped: list[list[Frame]] = []

    async def feed(
        self, frames: Sequence[Frame], post_process: PostProcess = as_decoded
    ) -> Samples:
        self.fed.append(list(frames))
        return self._next(post_process)

    def skip(self, frames: Sequence[Frame]) -> int:
        self.skipped.append(list(frames))
        return len(frames) * FRAME

    async def flush(self, post_process: PostProcess = as_decoded) -> Samples:
        return self._next(post_process)

    def _next(self, post_process: PostProcess) -> Samples:
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return post_process(result) if result.size else result


class Speech:
    """The audio of an attempt, with the emitted samples collected."""

    def __init__(self, pool: WorkerPool, *results: Samples | Exception) -> None:
        self.utterance = Utterance(*results)
        self.pieces: list[Samples] = []
        self.audio = AttemptAudio(
            self.utterance,
            pool,
            self.pieces.append,
            sample_rate=RATE,
            samples_per_frame=FRAME,
        )

    @property
    def emitted(self) -> Samples:
        return join_pieces(self.pieces)


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(1)
    yield pool
    await pool.close()


class TestPieces:
    @pytest.mark.parametrize("edges", [[0, 20], [0, 1, 2, 20], [0, 0, 7, 7, 20]])
    async def test_together_they_are_the_whole_audio(
        self, pool: WorkerPool, edges: list[int]
    ) -> None:
        samples = np.concatenate([loud(2, 0.0), loud(3), loud(10, 0.0)])
        cuts = np.linspace(0, samples.size, len(edges) + 1, dtype=int)
        speech = Speech(pool, *[samples[start:end] for start, end in pairwise(cuts)])
        for start, end in pairwise(edges):
            assert await speech.audio.feed(FRAMES[start:end]) is None
        assert await speech.audio.flush() is None
        assert speech.utterance.fed == [FRAMES[start:end] for start, end in pairwise(edges)]
        assert speech.audio.num_frames == 20
        np.testing.assert_array_equal(speech.emitted, smooth_chunk(samples, sample_rate=RATE))

    async def test_each_is_emitted_with_its_frames(self, pool: WorkerPool) -> None:
        speech = Speech(pool, empty(), loud(), loud(2), loud())
        sizes = []
        for frame in FRAMES[:3]:
            await speech.audio.feed([frame])
            sizes.append(speech.emitted.size)
        assert sizes == [0, FRAME - FADE, 3 * FRAME - FADE]
        assert await speech.audio.flush() is None
        assert speech.emitted.size == 4 * FRAME

    async def test_no_empty_piece_is_emitted(self, pool: WorkerPool) -> None:
        speech = Speech(pool, empty(), loud(1, 0.0), loud())
        await speech.audio.feed(FRAMES[:1])
        await speech.audio.feed(FRAMES[1:2])
        assert speech.pieces == []


class TestNotFinite:
    VERDICT = Verdict(Fault.NOT_FINITE, 0, "samples are not finite")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    async def test_none_of_it_is_emitted(self, pool: WorkerPool, value: float) -> None:
        """Another server returns a silent file with status 200 when its vocoder overflows."""
        bad = loud(2)
        bad[5] = value
        speech = Speech(pool, bad)
        assert await speech.audio.feed(FRAMES[:2]) == self.VERDICT
        assert speech.pieces == []

    async def test_at_the_end(self, pool: WorkerPool) -> None:
        speech = Speech(pool, loud(), loud(1, np.nan))
        assert await speech.audio.feed(FRAMES[:1]) is None
        assert await speech.audio.flush() == self.VERDICT
        assert speech.emitted.size == FRAME - FADE

    async def test_later_good_samples_do_not_clear_the_fault(self, pool: WorkerPool) -> None:
        speech = Speech(pool, loud(1, np.nan), loud())
        assert await speech.audio.feed(FRAMES[:1]) == self.VERDICT
        assert await speech.audio.flush() == self.VERDICT
        assert speech.pieces == []

    async def test_held_samples_stay_good(self, pool: WorkerPool) -> None:
        speech = Speech(pool, loud(), loud(1, np.nan))
        await speech.audio.feed(FRAMES[:1])
        assert await speech.audio.feed(FRAMES[1:2]) == self.VERDICT
        await speech.audio.cut()
        np.testing.assert_array_equal(speech.emitted, smooth_chunk(loud(), sample_rate=RATE))


class TestSilence:
    @pytest.mark.parametrize(
        "results",
        [
            (loud(3, 9e-4), empty()),
            (loud(1, 0.0), loud(2, -9e-4)),
            (empty(), empty()),
        ],
    )
    async def test_silence_throughout_is_a_fault(
        self, pool: WorkerPool, results: tuple[Samples, ...]
    ) -> None:
        speech = Speech(pool, *results)
        assert await speech.audio.feed(FRAMES[:3]) is None
        verdict = await speech.audio.flush()
        assert verdict == Verdict(Fault.SILENT, 0, "3 frames of silence")
        assert speech.pieces == []

    @pytest.mark.parametrize("level", [2e-3, -2e-3])
    async def test_a_whisper_is_not_silence(self, pool: WorkerPool, level: float) -> None:
        """It is as quiet as noise, so nothing is trimmed and all of it is emitted at the end."""
        speech = Speech(pool, loud(3, level), empty())
        assert await speech.audio.feed(FRAMES[:3]) is None
        assert speech.pieces == []
        assert await speech.audio.flush() is None
        assert speech.emitted.size == 3 * FRAME

    async def test_silence_after_speech_is_not_a_fault(self, pool: WorkerPool) -> None:
        speech = Speech(pool, loud(), loud(1, 0.0), empty())
        for frame in FRAMES[:2]:
            assert await speech.audio.feed([frame]) is None
        assert await speech.audio.flush() is None
        assert speech.emitted.size == 2 * FRAME


class TestDecoderFailure:
    ERROR = GenerationFailed("no memory")
    VERDICT = Verdict(Fault.DECODE_ERROR, 0, "no memory")

    async def test_in_the_middle(self, pool: WorkerPool) -> None:
        speech = Speech(pool, loud(), self.ERROR)
        assert await speech.audio.feed(FRAMES[:1]) is None
        assert await speech.audio.feed(FRAMES[1:2]) == self.VERDICT
        assert speech.emitted.size == FRAME - FADE

    async def test_at_the_end(self, pool: WorkerPool) -> None:
        speech = Speech(pool, loud(), self.ERROR)
        assert await speech.audio.feed(FRAMES[:1]) is None
        assert await speech.audio.flush() == self.VERDICT
        assert speech.emitted.size == FRAME - FADE

    async def test_the_death_of_the_decoder_is_not_a_fault_of_the_attempt(
        self, pool: WorkerPool
    ) -> None:
        with pytest.raises(EngineDead):
            await Speech(pool, EngineDead("gone")).audio.feed(FRAMES[:1])


class TestCut:
    async def test_held_samples_are_faded_out(self, pool: WorkerPool) -> None:
        speech = Speech(pool, loud(2, 1.0))
        await speech.audio.feed(FRAMES[:2])
        await speech.audio.cut()
        assert [piece.size for piece in speech.pieces] == [2 * FRAME - FADE, FADE]
        assert speech.pieces[1] == pytest.approx(np.arange(FADE)[::-1] / FADE)

    async def test_without_samples(self, pool: WorkerPool) -> None:
        speech = Speech(pool)
        await speech.audio.cut()
        assert speech.pieces == []

    async def test_long_silence_at_the_end_is_trimmed(self, pool: WorkerPool) -> None:
        speech = Speech(pool, np.concatenate([loud(2), loud(9, 0.0)]))
        await speech.audio.feed(FRAMES[:11])
        await speech.audio.cut()
        # The last loud window ends at 4,320; 0.3 s after it are kept.
        assert speech.emitted.size == 4320 + 7200


class TestResumePoint:
    async def speak(self, pool: WorkerPool) -> Speech:
        """Decodes five of six frames: two of silence, a loud one and two quieter ones."""
        speech = Speech(pool, empty(), loud(2, 0.0), loud(), loud(2, 0.4), empty())
        for edge in (1, 3, 4, 6):
            await speech.audio.feed(FRAMES[speech.audio.num_frames : edge])
        return speech

    async def test_heard_samples_are_mapped_to_their_frames(self, pool: WorkerPool) -> None:
        speech = await self.speak(pool)
        lead, first = 4096 - 16 - 3600, 3600 + 16 + FRAME - FADE
        assert [piece.size for piece in speech.pieces] == [first, 2 * FRAME]
        num_frames_of = {
            num: speech.audio.num_frames_heard(num)
            for num in (1, first, first + 1, first + 2 * FRAME)
        }
        assert list(num_frames_of.values()) == [4, 4, 6, 6]
        edge = 4 * FRAME - lead
        assert not speech.audio.has_been_heard_beyond(4, num_taken=edge)
        assert speech.audio.has_been_heard_beyond(4, num_taken=edge + 1)

    async def test_it_holds_the_decoded_samples_and_the_tail(self, pool: WorkerPool) -> None:
        speech = await self.speak(pool)
        lead, emitted = 4096 - 16 - 3600, speech.emitted
        resume_point = speech.audio.resume_point_after(
            FRAMES[:4], num_taken=5000, untaken=emitted[5000:]
        )
        assert resume_point.decoded.size == 5 * FRAME
        assert resume_point.num_decoded_frames == 6
        assert list(resume_point.marks) == [(0, 1), (0, 3), (emitted.size - 2 * FRAME, 4)]
        assert (resume_point.num_heard, resume_point.num_foreign) == (5000, 0)
        np.testing.assert_array_equal(resume_point.tail, emitted[5000:5240])
        # All emitted samples are taken, so the tail is taken from the edge trimmer.
        resume_point = speech.audio.resume_point_after(
            FRAMES[:4], num_taken=emitted.size, untaken=empty()
        )
        assert resume_point.num_heard == 4 * FRAME - lead
        assert resume_point.num_foreign == emitted.size - resume_point.num_heard
        np.testing.assert_array_equal(resume_point.tail, loud(1, 0.4)[:FADE])

    async def test_nothing_is_decoded_or_emitted_twice(self, pool: WorkerPool) -> None:
        speech = await self.speak(pool)
        resume_point = speech.audio.resume_point_after(
            FRAMES[:4], num_taken=5000, untaken=speech.emitted[5000:]
        )
        utterance, pieces = Utterance(loud(2, 0.4), empty()), [speech.emitted[:5000]]
        audio = AttemptAudio(
            utterance,
            pool,
            pieces.append,
            sample_rate=RATE,
            samples_per_frame=FRAME,
            resume_point=resume_point,
        )
        assert await audio.resume() is None
        assert (utterance.skipped, utterance.fed) == ([FRAMES[:4]], [])
        assert (audio.num_frames, audio.num_decoded_frames) == (4, 4)
        await audio.feed(FRAMES[4:6])
        await audio.flush()
        whole = np.concatenate([loud(2, 0.0), loud(), loud(1, 0.4), loud(2, 0.4)])
        np.testing.assert_array_equal(join_pieces(pieces), smooth_chunk(whole, sample_rate=RATE))
