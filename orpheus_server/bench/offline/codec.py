"""`bench --codec`: our decode and the reference's window on the same codes, in one run."""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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
from orpheus_server.bench.machine_card import ServerFacts, read_card
from orpheus_server.bench.offline.reference_window import (
    CONTEXT_FRAMES,
    decode_windows,
    load_reference,
    play_all,
)
from orpheus_server.bench.report import card_text, json_line
from orpheus_server.checkpoints.published import ENGLISH, SNAC_24KHZ
from orpheus_server.interfaces import Frame

FRAMES_PER_SEC = 24_000 / 2048
_CPU = torch.device("cpu")
_THREADS = (1, 2)
_HOPS = (1, 2, 4, 8)
_BATCHES = (1, 4, 16, 64)
_MAX_CPU_FRAMES = 64
"""Frames of one call on the CPU; more take seconds each and tell nothing new."""


@dataclass(frozen=True, slots=True)
class CodecLevel:
    """One hop and batch; times are milliseconds for a frame that is played, medians of rounds."""

    hop: int
    batch: int
    num_threads: int
    ours_ms: float
    reference_ms: float
    ours_macs: int
    reference_macs: int

    @property
    def ratio(self) -> float:
        """Times less than the reference takes."""
        return self.reference_ms / self.ours_ms


def run(parsed: argparse.Namespace) -> int:
    """Prints the table; the exit status."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    reference_codec = SNAC(**SNAC_24KHZ).eval()
    torch.manual_seed(0)
    model = CroppedDecoder(SNAC(**SNAC_24KHZ).eval(), ENGLISH.layout.slot_levels).to(device).eval()
    try:
        module = load_reference(reference_codec, device)
    except ImportError as error:
        print(f"orpheus-server: {error}", file=sys.stderr)
        return 1
    backend: Backend = EagerBackend(model)
    if device.type == "cuda":
        backend = GraphBackend(model, device, is_deterministic=False)
    bench = _Bench(model, backend, reference_codec, device, parsed.rounds)
    card = read_card()
    print(card_text(card, ServerFacts(None, None)))
    minimum = _minimum_macs(model)
    print(
        f"codec: published 24 kHz shape, random weights, {device}; at least {minimum / 1e6:.1f} "
        "million multiply-accumulates a frame"
    )
    levels = bench.sweep()
    print(_table(levels, minimum))
    as_shipped = bench.as_shipped(module)
    ops = bench.count_ops()
    print(
        f"the reference as shipped (a call for each frame): {as_shipped:.1f} ms a frame; "
        f"operations of one call: ours {ops[0]}, reference {ops[1]}"
    )
    many = bench.many_against_single() if device.type == "cpu" else None
    if many is not None:
        print(
            f"16 windows of one frame on 2 threads: {many[0]:.1f} ms in one call, "
            f"{many[1]:.1f} ms in 16 ({many[1] / many[0]:.2f} times)"
        )
    lost = bench.share_lost(module)
    print(f"frames of a {_UTTERANCE_FRAMES}-frame utterance not played: ours 0, reference {lost}")
    best = max(levels, key=lambda level: 1 / level.ours_ms)
    streams = 1000 / (best.ours_ms * FRAMES_PER_SEC)
    print(
        f"streams in real time by the codec alone: {streams:.0f} "
        f"(hop {best.hop}, batch {best.batch}, {best.num_threads} threads)"
    )
    document = {
        "benchmark": "codec",
        "card": asdict(card),
        "device": str(device),
        "minimum_macs": minimum,
        "levels": [asdict(level) for level in levels],
        "reference_as_shipped_ms": as_shipped,
        "ops_per_call": {"ours": ops[0], "reference": ops[1]},
        "sixteen_in_one_call_ms": many and many[0],
        "sixteen_single_calls_ms": many and many[1],
        "reference_frames_lost": lost,
        "utterance_frames": _UTTERANCE_FRAMES,
        "codec_streams": streams,
    }
    line = json_line(document)
    if parsed.json is not None:
        parsed.json.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 0


_UTTERANCE_FRAMES = 24


class _Bench:
    def __init__(
        self,
        model: CroppedDecoder,
        backend: Backend,
        codec: SNAC,
        device: torch.device,
        num_rounds: int,
    ) -> None:
        self._model = model
        self._backend = backend
        self._eager = EagerBackend(model)
        self._codec = codec
        # The counter cannot look into weight norm; folding it changes no convolution.
        self._folded = SNAC(**SNAC_24KHZ).eval()
        fold_weight_norm(self._folded)
        self._device = device
        self._num_rounds = num_rounds
        self._generator = np.random.default_rng(0)

    def sweep(self) -> list[CodecLevel]:
        """Every hop and batch, ours and the reference's in turn."""
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

    def as_shipped(self, module: Any) -> float:
        """Milliseconds a frame of the reference's own call, lists of tokens and all."""
        tokens = [code for frame in self._frames(1, 1)[0][:4] for code in frame]
        return self._race([lambda: module.convert_to_audio(tokens, 0)])[0]

    def many_against_single(self) -> tuple[float, float]:
        """Milliseconds of 16 windows in one call and in 16, two threads."""
        torch.set_num_threads(_THREADS[-1])
        frames = self._frames(1, 16)
        single = [self._ours(1, frames[index : index + 1]) for index in range(16)]
        one, many = self._race([self._ours(1, frames), lambda: [call() for call in single]])
        torch.set_num_threads(1)
        return one, many

    def count_ops(self) -> tuple[int, int]:
        """Operations that compute, of one call with one window."""
        frames = self._frames(1, 1)
        counts = []
        for call in (self._ours(1, frames, self._eager), self._reference(frames, 1)):
            with _OpCounter() as counter:  # type: ignore[no-untyped-call]
                call()
            counts.append(counter.num_ops)
        return counts[0], counts[1]

    def share_lost(self, module: Any) -> int:
        """Frames of an utterance that the reference never plays."""
        frames = [tuple(int(code) for code in row) for row in self._codes(_UTTERANCE_FRAMES)]
        return _UTTERANCE_FRAMES - len(asyncio.run(play_all(module, frames)))

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
        """Median milliseconds of each; in turn, so that a slower machine is slower for all."""
        times: list[list[float]] = [[] for _ in calls]
        for round_ in range(self._num_rounds + 1):
            for call, its_times in zip(calls, times, strict=True):
                started = time.perf_counter()
                call()
                if round_ > 0:
                    its_times.append((time.perf_counter() - started) * 1000)
        return [statistics.median(each) for each in times]


class _OpCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations that are no mere views."""

    num_ops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returns = func._schema.returns
        is_view = any(each.alias_info and not each.alias_info.is_write for each in returns)
        self.num_ops += not is_view
        return func(*args, **(kwargs or {}))


def _minimum_macs(model: CroppedDecoder) -> int:
    """A frame's share of an endless utterance: nothing is computed twice."""
    long, longer = model.count_macs(model.shape_for(64)), model.count_macs(model.shape_for(128))
    return (longer - long) // 64


def _table(levels: Sequence[CodecLevel], minimum: int) -> str:
    lines = [
        "threads  hop  batch   ours ms/frame  reference ms/frame  times less   ours MACs  reference"
    ]
    lines += [
        f"{level.num_threads or '-':>7}  {level.hop:>3}  {level.batch:>5}  {level.ours_ms:>14.2f}"
        f"  {level.reference_ms:>18.2f}  {level.ratio:>10.2f}  {level.ours_macs / minimum:>9.2f}x"
        f"  {level.reference_macs / minimum:>8.2f}x"
        for level in levels
    ]
    lines.append("reference: windows of hop + 3 frames, one call of the package for the batch")
    return "\n".join(lines)
