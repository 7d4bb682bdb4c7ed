"""Windows of all requests, decoded together: whatever waits when the device is free.

One call at a time, in the worker pool: nothing waits for a batch to fill, and a batch fills by
itself while the device is busy. After each call the next one queues behind other work of the pool,
so that with one worker encoders get their turn too.
"""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from orpheus_server.audio.snac.backends import Backend
from orpheus_server.audio.snac.windows import Window
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import EngineNotReady, GenerationFailed, OrpheusError
from orpheus_server.interfaces import Deadline, PostProcess, Samples, as_decoded


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    window: Window
    seed: int
    deadline: Deadline
    post_process: PostProcess
    result: asyncio.Future[Samples]


_Result = tuple[_Job, Samples | OrpheusError]


class Batcher:
    """One for each device."""

    def __init__(self, backend: Backend, pool: WorkerPool) -> None:
        self._backend = backend
        self._pool = pool
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._is_running = False
        self._is_closed = False

    def submit(
        self,
        window: Window,
        *,
        seed: int,
        deadline: Deadline,
        post_process: PostProcess = as_decoded,
    ) -> asyncio.Future[Samples]:
        """The samples that the window wants, post-processed; cancelling takes it out of the line.

        `deadline` is asked when a batch is chosen, in a worker thread.
        """
        job = _Job(window, seed, deadline, post_process, asyncio.get_running_loop().create_future())
        with self._lock:
            if self._is_closed:
                raise EngineNotReady("the server is closing")
            self._waiting.append(job)
            starts, self._is_running = not self._is_running, True
        if starts:
            self._pool.submit(self._decode_next)
        return job.result

    def close(self) -> None:
        """Fails what waits; a call that runs ends in its thread."""
        with self._lock:
            self._is_closed = True
        _deliver([(job, EngineNotReady("the server is closing")) for job in self._take_all()])

    def _decode_next(self) -> None:
        try:
            results = self._decode(self._take())
        except Exception as error:  # whatever it is, nobody must wait for ever
            results = [(job, _failure(error)) for job in self._take_all()]
        if results:
            loop = results[0][0].result.get_loop()
            loop.call_soon_threadsafe(_deliver, results)
        with self._lock:
            self._is_running = bool(self._waiting)
            goes_on = self._is_running
        if goes_on:
            self._pool.submit(self._decode_next)

    def _decode(self, jobs: Sequence[_Job]) -> list[_Result]:
        if not jobs:
            return []
        try:
            samples = self._backend.decode([job.window for job in jobs], [job.seed for job in jobs])
        except Exception as error:  # a thread's edge: what is wrong reaches those who wait
            if len(jobs) == 1:
                return [(jobs[0], _failure(error))]
            # It may be one request's, or too much at once: what its neighbours have been heard
            # saying cannot be tried again.
            return [result for job in jobs for result in self._decode([job])]
        return [(job, _post_process(job, each)) for job, each in zip(jobs, samples, strict=True)]

    def _take_all(self) -> list[_Job]:
        with self._lock:
            jobs, self._waiting = self._waiting, []
        return jobs

    def _take(self) -> list[_Job]:
        """The most urgent window, and those of the same hop that fit into its call."""
        with self._lock:
            waiting = [job for job in self._waiting if not job.result.cancelled()]
            # Sorting keeps the order of arrival among equals.
            waiting.sort(key=_urgency)
            hop = waiting[0].window.hop if waiting else 0
            alike = [job for job in waiting if job.window.hop == hop]
            jobs = alike[: self._backend.max_windows.get(hop, 0)]
            taken = set(jobs)
            self._waiting = [job for job in waiting if job not in taken]
        return jobs


def _urgency(job: _Job) -> float:
    return job.deadline(job.window.start)


def _post_process(job: _Job, samples: Samples) -> Samples | GenerationFailed:
    try:
        return job.post_process(samples)
    except Exception as error:  # one request's, not those of its neighbours
        return _failure(error)


def _failure(error: Exception) -> GenerationFailed:
    """One for each window: tasks that raised the same one would share its traceback."""
    failure = GenerationFailed(f"the codec failed: {error}")
    failure.__cause__ = error
    return failure


def _deliver(results: Sequence[_Result]) -> None:
    for job, result in results:
        if job.result.done():
            continue
        if isinstance(result, OrpheusError):
            job.result.set_exception(result)
        else:
            job.result.set_result(result)
