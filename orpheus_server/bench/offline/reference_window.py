"""The decoding of other Orpheus servers: sliding windows of four frames, one of which is played."""

import importlib.util
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from snac import SNAC

from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.interfaces import Frame, Samples
from orpheus_server.synthesis.frames import to_levels

CONTEXT_FRAMES = 3
"""One frame before and two after the played one (`orpheus_tts.decoder`: slice 2048:4096)."""


def load_reference(codec: SNAC, device: torch.device) -> ModuleType:
    """Loads `orpheus_tts.decoder` with this codec instead of the weights that it would download.

    Loads it from its file, because the package's `__init__` imports vLLM. Raises `ImportError`.
    """
    package = importlib.util.find_spec("orpheus_tts")
    if package is None or not package.submodule_search_locations:
        raise ImportError("the reference decoder is not installed: pip install orpheus-speech")
    path = Path(package.submodule_search_locations[0]) / "decoder.py"
    spec = importlib.util.spec_from_file_location("reference_decoder", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # The module always moves the codec to "cuda".
    with (
        patch.object(SNAC, "from_pretrained", return_value=codec),
        patch.object(codec, "to", return_value=codec),
    ):
        spec.loader.exec_module(module)
    codec.to(device)
    vars(module)["snac_device"] = str(device)
    return module


async def play_all(module: ModuleType, frames: Sequence[Frame]) -> list[Samples]:
    """The samples that the reference plays of an utterance, one array per frame."""

    async def tokens() -> AsyncIterator[str]:
        for frame in frames:
            for slot, code in enumerate(frame):
                yield f"<custom_token_{10 + slot * ENGLISH.layout.codebook_size + code}>"

    return [
        np.frombuffer(chunk, dtype=np.int16).astype(np.float32) / np.float32(32767.0)
        async for chunk in module.tokens_decoder(tokens())
    ]


def decode_windows(
    codec: SNAC, windows: Sequence[Sequence[Frame]], device: torch.device
) -> np.ndarray[Any, Any]:
    """Decodes windows of equal length in one call; returns the samples of the played frames."""
    slots = ENGLISH.layout.slot_levels
    levels = [to_levels(frames, slots) for frames in windows]
    codes = [
        torch.tensor([row[level] for row in levels], device=device)
        for level in range(len(levels[0]))
    ]
    with torch.inference_mode():
        decoded = codec.decode(codes)
    samples: np.ndarray[Any, Any] = decoded[:, 0, 2048:-4096].cpu().numpy()
    return samples
