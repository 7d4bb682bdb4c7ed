"""Backends that decode a batch of windows: eagerly, or with captured CUDA graphs."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch

from orpheus_server.audio.snac.cropped import CroppedDecoder
from orpheus_server.audio.snac.windows import HOPS, Window
from orpheus_server.interfaces import Samples


class Backend(Protocol):
    """Decodes windows of one hop; called by one thread at a time."""

    max_windows: dict[int, int]
    """The most windows in one call, for each hop."""

    def decode(self, windows: Sequence[Window], seeds: Sequence[int]) -> list[Samples]:
        """Returns the samples that each window needs."""


CACHED_BYTES = 8 << 20
"""Weights of a codec that stay in the cache: the bundled one has 2 MB, the published one 52."""


class EagerBackend:
    """Calls the decoder directly; for the CPU.

    At the published width a call decodes 16 frames: more overflow the cache and take longer each,
    and fewer read the weights more often. The weights of a small codec stay in the cache, so eight
    take hardly more time each, and the first window of a stream waits for 15 ms at most instead of
    30 (measured with the bundled voice; with four, 16 requests at once are a tenth slower).
    """

    def __init__(self, model: CroppedDecoder) -> None:
        num_bytes = sum(tensor.nbytes for tensor in model.state_dict().values())
        num_frames = 8 if num_bytes <= CACHED_BYTES else 16
        self.max_windows = {hop: num_frames // hop for hop in HOPS}
        self._model = model
        self._shape_for = cache(model.shape_for)

    def decode(self, windows: Sequence[Window], seeds: Sequence[int]) -> list[Samples]:
        """Returns the samples that each window needs."""
        codes, position_arrays = to_arrays(windows, seeds)
        samples = self._model(
            torch.from_numpy(codes),
            *map(torch.from_numpy, position_arrays),
            self._shape_for(windows[0].hop),
            is_edge=any(window.is_edge for window in windows),
        )
        return crop(samples.float().numpy(), windows)


_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
_INT16_PEAK = 32767.0


class GraphBackend:
    """Replays one captured graph for each batch size and hop; samples have 16-bit precision.

    `is_deterministic` uses a single batch size, because matrix products of other sizes may add in
    another order.
    """

    def __init__(self, model: CroppedDecoder, device: torch.device, *, is_deterministic: bool):
        buckets = (16,) if is_deterministic else _BUCKETS
        self.max_windows = dict.fromkeys(HOPS, buckets[-1])
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(device), torch.cuda.stream(self._stream):
            pool = torch.cuda.graph_pool_handle()
            self._graphs = {
                (size, hop): _Graph(model, size, hop, device, self._stream, pool)
                # The largest first: the others then reuse its memory.
                for size in reversed(buckets)
                for hop in reversed(HOPS)
            }
            self._stream.synchronize()

    def decode(self, windows: Sequence[Window], seeds: Sequence[int]) -> list[Samples]:
        """Returns the samples that each window needs."""
        hop = windows[0].hop
        size = min(size for size, other in self._graphs if other == hop and size >= len(windows))
        codes, position_arrays = to_arrays(windows, seeds)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            return crop(self._graphs[size, hop].replay(codes, position_arrays), windows)


class _Graph:
    """A captured graph with its buffers: pinned ones on the host, fixed ones on the device."""

    def __init__(
        self,
        model: CroppedDecoder,
        size: int,
        hop: int,
        device: torch.device,
        stream: torch.cuda.Stream,
        pool: Any,
    ) -> None:
        shape = model.shape_for(hop)
        self._stream = stream
        num_slots = model.num_slots
        host = torch.zeros(size, shape.num_frames * num_slots + 3, dtype=torch.int64)
        self._host = host.pin_memory()
        self._input = self._host.to(device)
        codes = self._input[:, :-3].view(size, shape.num_frames, num_slots)
        position_arrays = [self._input[:, -3 + index] for index in range(3)]

        def decode() -> torch.Tensor:
            samples = model(codes, *position_arrays, shape, is_edge=True)
            # NaN becomes the one value that clipping never produces.
            scaled: torch.Tensor = (samples.clamp(-1.0, 1.0) * _INT16_PEAK).round_()
            return scaled.nan_to_num_(nan=-32768.0).to(torch.int16)

        # Libraries initialise themselves in their first calls, which cannot be captured.
        for _ in range(2):
            decode()
        stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # `thread_local`, because other threads may use the device meanwhile. The pool is shared, so
        # a replay may overwrite another graph's output; that was copied out earlier on the same
        # stream.
        with torch.cuda.graph(
            self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"
        ):
            self._output = decode()
        self._result = torch.zeros_like(self._output, device="cpu").pin_memory()

    def replay(self, codes: np.ndarray, position_arrays: Sequence[np.ndarray]) -> Samples:
        """Returns samples [size, samples]; rows beyond `len(codes)` are meaningless."""
        rows = self._host[: len(codes)].numpy()
        rows[:, :-3] = codes.reshape(len(codes), -1)
        for index, position in enumerate(position_arrays):
            rows[:, -3 + index] = position
        self._input.copy_(self._host, non_blocking=True)
        self._graph.replay()
        self._result.copy_(self._output, non_blocking=True)
        self._stream.synchronize()
        result = self._result.numpy()
        samples: Samples = result.astype(np.float32) / np.float32(_INT16_PEAK)
        samples[result == -32768] = np.nan
        return samples


def to_arrays(
    windows: Sequence[Window], seeds: Sequence[int]
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns codes [batch, frames, slots], and first frames, end frames and seeds, each [batch].

    All are int64.
    """
    return np.stack([window.codes for window in windows]), (
        np.array([window.first_frame for window in windows]),
        np.array([window.end_frame for window in windows]),
        np.array(seeds, dtype=np.int64),
    )


def crop(samples: Samples, windows: Sequence[Window]) -> list[Samples]:
    """Returns what each window needs of its row, copied so that no row keeps the batch alive."""
    return [
        row[window.skip : window.stop].copy() for row, window in zip(samples, windows, strict=False)
    ]
