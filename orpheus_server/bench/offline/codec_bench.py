"""Measures this codec and the reference's sliding window on the same random codes."""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from snac import SNAC
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from orpheus_server.audio.snac.backends import Backend, EagerBackend, GraphBackend
from orpheus_server.audio.snac.cropped import CroppedDecoder, fold_weight_norm
from orpheus_server.audio.snac.windows import NO_END, Window
from orpheus_server.bench.offline.reference_window import (
    CONTEXT_FRAMES,
    decode_windows,
    load_reference,
    play_all,
)
from orpheus_server.checkpoints.published import ENGLISH, SNAC_24KHZ
from orpheus_server.interfaces import Frame

FRAMES_PER_SEC = 24_000 / 2048
UTTERANCE_FRAMES = 24
_CPU = torch.device("cpu")
_THREADS = (1, 2)
_HOPS = (1, 2, 4, 8)
_BATCHES = (1, 4, 16, 64)
_MAX_CPU_FRAMES = 64
"""Largest call on the CPU, in frames: larger ones take seconds and show nothing new."""


@dataclass(frozen=True, slots=True)
class CodecLevel:
    """One hop and batch; times are milliseconds per played frame, medians over the rounds."""

    hop: int
    batch: int
    num_threads: int
    ours_ms: float
    reference_ms: float
    ours_macs: int
    reference_macs: int

    @property
    def ratio(self) -> float:
        """How many times faster than the reference."""
        return self.reference_ms / self.ours_ms


class CodecBench:
    """Both codecs in the published shape, with the same random weights.

    Raises `ImportError` if the reference is not installed.
    """

    def __init__(self, device: torch.device, *, num_rounds: int) -> None:
        self._device = device
        self._num_rounds = num_rounds
        torch.manual_seed(0)
        self._codec = SNAC(**SNAC_24KHZ).eval()
        torch.manual_seed(0)
        self._model = (
            CroppedDecoder(SNAC(**SNAC_24KHZ).eval(), ENGLISH.layout.slot_levels).to(device).eval()
        )
        self._reference_module = load_reference(self._codec, device)
        self._eager = EagerBackend(self._model)
        self._backend: Backend = self._eager
        if device.type == "cuda":
            self._backend = GraphBackend(self._model, device, is_deterministic=False)
        # The counter does not see inside weight norm; folding it changes no convolution.
        self._folded = SNAC(**SNAC_24KHZ).eval()
        fold_weight_norm(self._folded)
        self._generator = np.random.default_rng(0)

    @property
    def minimum_macs(self) -> int:
        """One frame's share of an endless utterance, in which nothing is computed twice."""
        long, longer = (
            self._model.count_macs(self._model.shape_for(num_frames)) for num_frames in (64, 128)
        )
        return (longer - long) // 64

    def sweep(self) -> list[CodecLevel]:
        """Every hop and batch, this codec's and the reference's in turn."""
        if self._device.type == "cuda":
            return [self._level(hop, batch, 0) for hop, batch in product((1, 2, 4), _BATCHES)]
        levels = []
        for num_threads in _THREADS:
            torch.set_num_threads(num_threads)
            levels += [
                self._level(hop, batch, num_threads)
                for hop, batch in product(_HOPS, _BATCHES)
                if hop * batch <= _MAX_CPU_FRAMES
            ]
        torch.set_num_threads(1)
        return levels

    def _level(self, hop: int, batch: int, num_threads: int) -> CodecLevel:
        frames = self._frames(hop, batch)
        ours, reference = self._ours(hop, frames), self._reference(frames, hop)
        ours_ms, reference_ms = self._race([ours, reference])
        counter = FlopCounterMode(display=False)
        with counter:
            decode_windows(self._folded, [row[: hop + CONTEXT_FRAMES] for row in frames], _CPU)
        print(f"hop {hop} batch {batch}: {ours_ms / hop / batch:.2f} ms", file=sys.stderr)
        return CodecLevel(
            hop=hop,
            batch=batch,
            num_threads=num_threads,
            ours_ms=ours_ms / (hop * batch),
            reference_ms=reference_ms / (hop * batch),
            ours_macs=self._model.count_macs(self._model.shape_for(hop)) // hop,
            # Two operations for each multiply-accumulate.
            reference_macs=counter.get_total_flops() // 2 // (hop * batch),
        )

    def as_shipped(self) -> float:
        """Milliseconds per frame of the reference's own call, which takes a list of tokens."""
        tokens = [code for frame in self._frames(1, 1)[0][:4] for code in frame]
        return self._race([lambda: self._reference_module.convert_to_audio(tokens, 0)])[0]

    def many_against_single(self) -> tuple[float, float]:
        """Milliseconds of 16 windows in one call and in 16 calls, on two threads."""
        torch.set_num_threads(_THREADS[-1])
        frames = self._frames(1, 16)
        single = [self._ours(1, frames[index : index + 1]) for index in range(16)]
        one, many = self._race([self._ours(1, frames), lambda: [call() for call in single]])
        torch.set_num_threads(1)
        return one, many

    def count_ops(self) -> tuple[int, int]:
        """Operations, views aside, of one call with one window: this codec's, the reference's."""
        frames = self._frames(1, 1)
        counts = []
        for call in (self._ours(1, frames, self._eager), self._reference(frames, 1)):
            with _OpCounter() as counter:  # type: ignore[no-untyped-call]
                call()
            counts.append(counter.num_ops)
        return counts[0], counts[1]

    def num_frames_lost(self) -> int:
        """Frames of an utterance that the reference never plays."""
        frames = [tuple(int(code) for code in row) for row in self._codes(UTTERANCE_FRAMES)]
        return UTTERANCE_FRAMES - len(asyncio.run(play_all(self._reference_module, frames)))

    def _codes(self, num_frames: int) -> np.ndarray[Any, Any]:
        # From 1 up: the reference drops code 0.
        return self._generator.integers(1, SNAC_24KHZ["codebook_size"], size=(num_frames, 7))

    def _frames(self, hop: int, batch: int) -> list[list[Frame]]:
        num_frames = max(self._model.shape_for(hop).num_frames, hop + CONTEXT_FRAMES)
        return [
            [tuple(int(code) for code in row) for row in self._codes(num_frames)]
            for _ in range(batch)
        ]

    def _ours(
        self, hop: int, frames: Sequence[Sequence[Frame]], backend: Backend | None = None
    ) -> Callable[[], object]:
        backend = backend or self._backend
        shape = self._model.shape_for(hop)
        windows = [
            Window(
                hop=hop,
                codes=np.array(row[: shape.num_frames]),
                first_frame=20,
                end_frame=NO_END,
                skip=0,
                stop=shape.samples.length,
                start=0,
            )
            for row in frames
        ]
        seeds = list(range(len(windows)))
        return lambda: backend.decode(windows, seeds)

    def _reference(self, frames: Sequence[Sequence[Frame]], hop: int) -> Callable[[], object]:
        windows = [row[: hop + CONTEXT_FRAMES] for row in frames]
        return lambda: decode_windows(self._codec, windows, self._device)

    def _race(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Median milliseconds of each call; they take turns, so a slow moment slows all of them."""
        times: list[list[float]] = [[] for _ in calls]
        for round_ in range(self._num_rounds + 1):
            for call, its_times in zip(calls, times, strict=True):
                started = time.perf_counter()
                call()
                if round_ > 0:
                    its_times.append((time.perf_counter() - started) * 1000)
        return [statistics.median(each) for each in times]


class _OpCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations, except those that only return a view."""

    num_ops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returns = func._schema.returns
        is_view = any(each.alias_info and not each.alias_info.is_write for each in returns)
        self.num_ops += not is_view
        return func(*args, **(kwargs or {}))
