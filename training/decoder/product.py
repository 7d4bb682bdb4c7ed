"""The codec as the server loads it: quantizer and decoder, without an encoder."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from training.codec.frozen import FrozenEncoder, load_frozen
from training.errors import TrainingError
from training.files import write_atomically, write_json
from training.folder import TrainingFolder
from training.states import finished_folder
from training.trainer import read_newest


def read_codec(folder: TrainingFolder) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Returns SNAC's configuration and weights, with the decoder that is furthest trained.

    Raises `TrainingError` if there is no decoder yet.
    """
    frozen = load_frozen(folder.encoder, torch.float32)
    found = read_newest(finished_folder(folder.decoder))
    if found is None:
        raise TrainingError(f"{folder.decoder} is empty: run the stage decoder first")
    return frozen.config.to_snac(), codec_weights(frozen, found["state"]["decoder"])


def codec_weights(
    frozen: FrozenEncoder, decoder: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Returns SNAC's weights in half precision, named as `snac.SNAC` names them.

    The frozen quantizer is in half precision anyway, and so is the decoder that the repository
    keeps: what is packaged, evaluated and restored then sounds the same.
    """
    parts = {"quantizer": frozen.quantizer.state_dict(), "decoder": decoder}
    return {
        f"{part}.{name}": value.detach().cpu().to(torch.float16).contiguous()
        for part, weights in parts.items()
        for name, value in weights.items()
    }


def write_codec(path: Path, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    """Writes the two files of a codec folder."""
    write_json(path / "config.json", config)
    write_atomically(path / "model.safetensors", save(weights))
