"""What a voice is made from: the newest language model and codec of a generation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from training.decoder.product import read_codec
from training.errors import TrainingError
from training.files import hash_file, read_json
from training.folder import TrainingFolder
from training.language_model.model import LanguageModel, ModelConfig
from training.language_model.vocabulary import Vocabulary
from training.recipe import FILE, read_recipe_hash
from training.states import finished_folder, newest_step
from training.trainer import read_newest


@dataclass(frozen=True, slots=True)
class VoiceSources:
    """Weights and configurations of a voice; `made_from` is JSON for people to read."""

    vocabulary: Vocabulary
    language_model: LanguageModel
    codec_config: Mapping[str, Any]
    codec: Mapping[str, Tensor]
    made_from: Mapping[str, Any]


def read_sources(folder: TrainingFolder) -> VoiceSources:
    """Reads the newest models, after their last part if that is complete.

    Raises `TrainingError` if one is missing, or if they do not belong to the frozen encoder.
    """
    if not folder.encoder.is_file():
        raise TrainingError(f"{folder.encoder} is missing: run the stage codes first")
    encoder = hash_file(folder.encoder)
    _check_encoder(folder.tokens, encoder)
    _check_encoder(folder.decoder, encoder)
    language_model = read_newest(finished_folder(folder.language_model))
    if language_model is None:
        raise TrainingError(f"{folder.language_model} is empty: run that stage first")
    trained_on = read_json(folder.language_model / FILE)["made_from"]
    if trained_on["tokens"] != read_recipe_hash(folder.tokens):
        raise TrainingError(f"{folder.language_model} was not trained on {folder.tokens}")
    model = LanguageModel(ModelConfig(**language_model["state"]["config"]))
    model.load_state_dict(language_model["state"]["model"])
    codec_config, codec = read_codec(folder)
    return VoiceSources(
        vocabulary=Vocabulary(tuple(trained_on["speakers"]), codec_config["codebook_size"]),
        language_model=model,
        codec_config=codec_config,
        codec=codec,
        made_from={
            "generation": folder.generation,
            "encoder": encoder,
            "tokens": read_json(folder.tokens / FILE)["made_from"],
            "language_model": _describe(folder.language_model),
            "decoder": _describe(folder.decoder),
        },
    )


def _check_encoder(folder: Path, encoder: str) -> None:
    """Raises `TrainingError` if the folder's products were made with another encoder."""
    read_recipe_hash(folder)
    found = read_json(folder / FILE)["made_from"]["encoder"]
    if found != encoder:
        raise TrainingError(
            f"{folder} was made with the encoder {found}, and the codec's is {encoder}: "
            "tokens and codec do not fit together"
        )


def _describe(folder: Path) -> dict[str, Any]:
    finished = finished_folder(folder)
    return {
        **read_json(folder / FILE)["made_from"],
        "step": newest_step(finished),
        "is_cooled": finished != folder,
    }
