"""The thread that owns a running batch, and the generations on the event loop that it serves."""

import asyncio
import gc
import logging
import traceback
from collections import deque
from collections.abc import Sequence
from threading import Condition, Thread

import torch

from orpheus_server.engine.transformers_batch import BatchRow, NewToken, RunningBatch
from orpheus_server.errors import EngineDead, GenerationFailed, OrpheusError
from orpheus_server.interfaces import TokenDelta, TokenRequest

logger = logging.getLogger(__name__)

STOP_LIMIT_SEC = 5.0
"""For the thread to end. A computation that hangs cannot be interrupted."""

Item = TokenDelta | OrpheusError


class Generation:
    """The deltas of one request: the first id at once, then `ids_per_delta` at a time."""

    def __init__(
        self, request: TokenRequest, ids_per_delta: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.request = request
        self.loop = loop
        self._ids_per_delta = ids_per_delta
        self._num_sent = 0
        self._ids: list[int] = []
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()

    def take(self, new: NewToken) -> Item | None:
        """Returns what to deliver now that there is a new id; called by the thread."""
        if new.token_id is None:
            return GenerationFailed(
                "the model computed values that are not numbers; float32 or bfloat16 may help"
            )
        self._ids.append(new.token_id)
        is_first = self._num_sent == 0
        if not is_first and new.finish_reason is None and len(self._ids) < self._ids_per_delta:
            return None
        delta = TokenDelta(tuple(self._ids), new.finish_reason)
        self._num_sent += len(self._ids)
        self._ids.clear()
        return delta

    def put(self, item: Item) -> None:
        """Delivers an item; called by the event loop."""
        self._items.append(item)
        self._arrived.set()

    async def get(self) -> TokenDelta:
        """Returns the next delta, or raises the error that ended the generation."""
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._items.popleft()
        if isinstance(item, OrpheusError):
            raise item
        return item


class BatchWorker:
    """Computes a batch in a thread of its own, one step after another while there are generations.

    Between two steps, at most one waiting generation joins, so the others never wait for more than
    one prompt. `num_threads` is the number of threads that compute a step, None for torch's choice.
    """

    def __init__(self, batch: RunningBatch, *, num_threads: int | None) -> None:
        self._batch: RunningBatch | None = batch
        self._num_threads = num_threads
        self._condition = Condition()
        # Guarded by the condition.
        self._generations: set[Generation] = set()
        self._submitted: list[Generation] = []
        self._cancelled: list[Generation] = []
        self._is_stopping = False
        # Of the thread only.
        self._waiting: deque[Generation] = deque()
        self._running: dict[BatchRow, Generation] = {}
        self._thread = Thread(target=self._run, name="transformers-engine", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """False once it no longer computes."""
        return not self._is_stopping

    def submit(self, generation: Generation) -> None:
        """Adds a generation. Raises `EngineDead` if the worker does not compute any more."""
        with self._condition:
            if self._is_stopping:
                raise EngineDead("the speech engine has died")
            self._generations.add(generation)
            self._submitted.append(generation)
            self._condition.notify()

    def cancel(self, generation: Generation) -> None:
        """Frees the row of a generation after the step that is being computed."""
        with self._condition:
            if generation in self._generations:
                self._generations.discard(generation)
                self._cancelled.append(generation)
                self._condition.notify()

    def stop(self, message: str) -> None:
        """Ends all generations with `EngineDead` at once, and the thread after its present step.

        Blocks for up to `STOP_LIMIT_SEC`. Does nothing if the thread has ended.
        """
        self._end(message)
        self._thread.join(STOP_LIMIT_SEC)
        if self._thread.is_alive():
            logger.error("a step of the speech engine hangs; its thread stays until it returns")

    def _end(self, message: str) -> None:
        with self._condition:
            self._is_stopping = True
            ended, self._generations = self._generations, set()
            self._condition.notify()
        _deliver([(generation, EngineDead(message)) for generation in ended])

    def _run(self) -> None:
        try:
            if self._num_threads is not None:
                # For this thread only: those of the codec have their own number.
                torch.set_num_threads(self._num_threads)
            with torch.inference_mode():
                while (batch := self._batch) is not None and self._take_commands(batch):
                    self._advance(batch)
        except Exception as error:
            # As text: a log record with the traceback would keep the model in memory.
            logger.error("the speech engine failed:\n%s", traceback.format_exc().rstrip())
            message = f"the speech engine has died: {type(error).__name__}"
        else:
            message = "the speech engine is stopped"
        # Not in the handler above, where the traceback still refers to the model.
        batch = self._batch = None
        self._waiting.clear()
        self._running.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._end(message)

    def _take_commands(self, batch: RunningBatch) -> bool:
        """Waits for something to do. Returns False if the thread shall end."""
        with self._condition:
            while not (
                self._is_stopping
                or self._submitted
                or self._cancelled
                or self._waiting
                or batch.rows
            ):
                self._condition.wait()
            submitted, self._submitted = self._submitted, []
            cancelled, self._cancelled = set(self._cancelled), []
            if self._is_stopping:
                return False
        self._waiting.extend(submitted)
        if cancelled:
            self._waiting = deque(each for each in self._waiting if each not in cancelled)
            for row, generation in list(self._running.items()):
                if generation in cancelled:
                    del self._running[row]
                    batch.leave(row)
        return True

    def _advance(self, batch: RunningBatch) -> None:
        if self._waiting and batch.has_room(self._waiting[0].request):
            self._join(batch, self._waiting.popleft())
        if batch.rows:
            self._take(batch.step())

    def _join(self, batch: RunningBatch, generation: Generation) -> None:
        try:
            new = batch.join(generation.request)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._finish(generation)
            failed = GenerationFailed("there is no memory left for this request")
            _deliver([(generation, failed)])
            return
        self._running[new.row] = generation
        # Before the step, so that the first id does not wait for it.
        self._take([new])

    def _take(self, new_tokens: Sequence[NewToken]) -> None:
        items: list[tuple[Generation, Item]] = []
        for new in new_tokens:
            generation = self._running[new.row]
            item = generation.take(new)
            if item is not None:
                items.append((generation, item))
            if new.token_id is None or new.finish_reason is not None:
                del self._running[new.row]
                self._finish(generation)
        _deliver(items)

    def _finish(self, generation: Generation) -> None:
        with self._condition:
            self._generations.discard(generation)


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether a device or the CPU had too little memory for a tensor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # MPS and the CPU raise a plain RuntimeError.
    message = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in message or "can't allocate memory" in message
    )


def _deliver(items: Sequence[tuple[Generation, Item]]) -> None:
    """Hands items to the event loop, in one call: each wakes the loop."""
    if not items:
        return
    try:
        items[0][0].loop.call_soon_threadsafe(_put_all, items)
    except RuntimeError:
        # The loop is closed, and its generations with it.
        return


def _put_all(items: Sequence[tuple[Generation, Item]]) -> None:
    for generation, item in items:
        generation.put(item)
