"""Decodes the windows of all requests in batches: all that are waiting when the device is free.

There is one call at a time, in the worker pool. No window waits for a batch to fill: batches fill
while the device is busy. Each call queues after the pool's other work, so that encoders also get to
run when there is only one worker.
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
    """Batches the windows for one device."""

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
        """Returns a future of the window's samples, post-processed; cancelling it drops the window.

        `deadline` is called in a worker thread whenever a batch is chosen.
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
        """Fails all waiting windows; a running call ends in its thread."""
        with self._lock:
            self._is_closed = True
        _deliver([(job, EngineNotReady("the server is closing")) for job in self._take_all()])

    def _decode_next(self) -> None:
        try:
            results = self._decode(self._take())
        except Exception as error:  # whatever it is, no window may wait forever
            results = [(job, _failure(error)) for job in self._take_all()]
        if results:
            loop = results[0][0].result.get_loop()
            loop.call_soon_threadsafe(_deliver, results)
        with self._lock:
            self._is_running = bool(self._waiting)
            has_more = self._is_running
        if has_more:
            self._pool.submit(self._decode_next)

    def _decode(self, jobs: Sequence[_Job]) -> list[_Result]:
        if not jobs:
            return []
        try:
            samples = self._backend.decode([job.window for job in jobs], [job.seed for job in jobs])
        except Exception as error:  # reaches the requests that wait, not the worker thread
            if len(jobs) == 1:
                return [(jobs[0], _failure(error))]
            # One window may be the cause, or the size of the batch. Other requests in the batch may
            # have been heard already and cannot be retried, so decode each window alone.
            return [result for job in jobs for result in self._decode([job])]
        return [(job, _post_process(job, each)) for job, each in zip(jobs, samples, strict=True)]

    def _take_all(self) -> list[_Job]:
        with self._lock:
            jobs, self._waiting = self._waiting, []
        return jobs

    def _take(self) -> list[_Job]:
        """Removes and returns the most urgent windows of one hop, as many as fit into one call."""
        with self._lock:
            waiting = [job for job in self._waiting if not job.result.cancelled()]
            # Sorting keeps the order of arrival among equals.
            waiting.sort(key=_urgency)
            hop = waiting[0].window.hop if waiting else 0
            same_hop = [job for job in waiting if job.window.hop == hop]
            jobs = same_hop[: self._backend.max_windows.get(hop, 0)]
            taken = set(jobs)
            self._waiting = [job for job in waiting if job not in taken]
        return jobs


def _urgency(job: _Job) -> float:
    return job.deadline(job.window.start)


def _post_process(job: _Job, samples: Samples) -> Samples | GenerationFailed:
    try:
        return job.post_process(samples)
    except Exception as error:  # fails this request only, not the others in the batch
        return _failure(error)


def _failure(error: Exception) -> GenerationFailed:
    """Returns a new exception for each window: tasks raising the same one share its traceback."""
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
