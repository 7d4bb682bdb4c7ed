"""Decodes SNAC codes incrementally; the joined samples equal a decode of the whole utterance."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from snac import SNAC

from orpheus_server.audio.samples import empty
from orpheus_server.audio.snac.backends import Backend, EagerBackend, GraphBackend
from orpheus_server.audio.snac.batcher import Batcher
from orpheus_server.audio.snac.cropped import CroppedDecoder
from orpheus_server.audio.snac.windows import HOPS, Window, WindowCutter
from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import GenerationFailed, StartError
from orpheus_server.interfaces import Deadline, Frame, PostProcess, Samples, as_decoded

EXACT_FIRST_FRAMES = 3
"""The decoder of the published shape looks 2.3 frames ahead (`CroppedDecoder.right_reach`)."""


class SnacDecoder:
    """One codec on one device, shared by all utterances."""

    def __init__(
        self,
        codec: SNAC,
        layout: TokenLayout,
        device: torch.device,
        pool: WorkerPool,
        *,
        first_frames: int = EXACT_FIRST_FRAMES,
        is_deterministic: bool = False,
    ) -> None:
        _check_layout(codec, layout)
        try:
            model = CroppedDecoder(codec, layout.slot_levels).to(device).eval()
        except ValueError as error:
            raise StartError(f"the codec cannot be streamed: {error}") from error
        self._codebook_size = layout.codebook_size
        self._sample_rate = int(codec.sampling_rate)
        self._samples_per_frame = model.samples_per_frame
        self._shapes = {hop: model.shape_for(hop) for hop in HOPS}
        # A codec of another shape may look further ahead, so an exact start has no fixed limit.
        self._first_frames = first_frames if first_frames < EXACT_FIRST_FRAMES else sys.maxsize
        self._pool = pool
        self._batcher = Batcher(_build_backend(model, device, is_deterministic), pool)

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self._sample_rate

    @property
    def samples_per_frame(self) -> int:
        """Samples per frame."""
        return self._samples_per_frame

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> "SnacUtterance":
        """Returns a decoder for one utterance, which accepts frames as they are generated."""
        cutter = WindowCutter(
            self._shapes,
            samples_per_frame=self._samples_per_frame,
            first_frames=self._first_frames,
        )
        return SnacUtterance(
            cutter, self._batcher, self._pool, self._codebook_size, noise_seed, deadline
        )

    async def close(self) -> None:
        """Fails all waiting windows; does not close the pool, which belongs to the runtime."""
        self._batcher.close()


class SnacUtterance:
    """Decodes the frames of one utterance, returning each sample as soon as it is certain."""

    def __init__(
        self,
        cutter: WindowCutter,
        batcher: Batcher,
        pool: WorkerPool,
        codebook_size: int,
        noise_seed: int,
        deadline: Deadline,
    ) -> None:
        self._cutter = cutter
        self._batcher = batcher
        self._pool = pool
        self._codebook_size = codebook_size
        self._seed = noise_seed % (1 << 63)
        self._deadline = deadline

    async def feed(
        self, frames: Sequence[Frame], post_process: PostProcess = as_decoded
    ) -> Samples:
        """Returns the samples that these frames make certain. Raises `GenerationFailed`."""
        for frame in frames:
            # On CUDA an invalid code would stop the device for every request.
            if max(frame) >= self._codebook_size or min(frame) < 0:
                raise GenerationFailed(f"the codec has no code {max(frame)}")
        return await self._decode(self._cutter.feed(frames), post_process)

    def skip(self, frames: Sequence[Frame]) -> int:
        """Returns the number of samples that these frames make certain, without decoding them."""
        windows = self._cutter.feed(frames)
        return sum(window.stop - window.skip for window in windows)

    async def flush(self, post_process: PostProcess = as_decoded) -> Samples:
        """Returns the remaining samples; accepts no frames after that."""
        return await self._decode(self._cutter.flush(), post_process)

    async def _decode(self, windows: Sequence[Window], post_process: PostProcess) -> Samples:
        if not windows:
            return empty()
        if len(windows) == 1:
            return await self._submit(windows[0], post_process)
        results = [self._submit(window, as_decoded) for window in windows]
        try:
            # `gather` also retrieves later failures, which asyncio would otherwise log.
            parts = await asyncio.gather(*results)
        finally:
            for result in results:
                result.cancel()
        # Post-processed together, because the windows may have been decoded in any order.
        return await self._pool.run(lambda: post_process(np.concatenate(parts)))

    def _submit(self, window: Window, post_process: PostProcess) -> asyncio.Future[Samples]:
        return self._batcher.submit(
            window, seed=self._seed, deadline=self._deadline, post_process=post_process
        )


def _build_backend(model: CroppedDecoder, device: torch.device, is_deterministic: bool) -> Backend:
    if device.type != "cuda":
        return EagerBackend(model)
    # The same codes and seed must give the same samples: compute in 32 bits, not the 19 of TF32.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return GraphBackend(model, device, is_deterministic=is_deterministic)


def load_codec(folder: Path) -> SNAC:
    """Loads a SNAC from a folder with `config.json` and weights, without its waveform encoder.

    Raises `StartError` that names the missing or mismatched file.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        codec = SNAC(**config)
    except (OSError, ValueError, TypeError) as error:
        raise StartError(
            f"{folder / 'config.json'} is not a SNAC configuration: {error}"
        ) from error
    # Synthesis needs no encoder; the bundled codec has none.
    codec.encoder = None
    weights = {
        name: value
        for name, value in _load_weights(folder).items()
        if not name.startswith("encoder.")
    }
    try:
        codec.load_state_dict(weights)
    except RuntimeError as error:
        raise StartError(
            f"the weights in {folder} do not fit their config.json: {error}"
        ) from error
    return codec.eval()


def _load_weights(folder: Path) -> dict[str, torch.Tensor]:
    safetensors, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    try:
        if safetensors.is_file():
            return load_file(safetensors)
        state: dict[str, torch.Tensor] = torch.load(pickled, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StartError(
            f"{folder} has neither {safetensors.name} nor {pickled.name}: no codec weights."
        ) from None
    except Exception as error:  # both loaders raise library-specific types for a corrupt file
        raise StartError(f"the codec weights in {folder} cannot be read: {error}") from error
    return _unify_weight_norm(state)


def _unify_weight_norm(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Renames old weight-norm keys (`weight_g`, `weight_v`) to those of torch's parametrization."""
    renames = {
        ".weight_g": ".parametrizations.weight.original0",
        ".weight_v": ".parametrizations.weight.original1",
    }
    unified = {}
    for name, value in state.items():
        for old, new in renames.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        unified[name] = value
    return unified


def _check_layout(codec: SNAC, layout: TokenLayout) -> None:
    strides = codec.vq_strides
    wanted = [strides[0] // stride for stride in strides]
    found = [layout.slot_levels.count(level) for level in range(len(strides))]
    if codec.codebook_size != layout.codebook_size or wanted != found:
        raise StartError(
            f"the codec has {codec.codebook_size} codes and {wanted} codes per frame and level, "
            f"but the checkpoint generates {layout.codebook_size} and {found}."
        )


def use_one_thread() -> None:
    """Initialises a worker thread: decodes run in parallel, so none may use all the cores."""
    torch.set_num_threads(1)
