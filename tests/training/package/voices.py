"""Tiny voices with random weights, in memory and as the stages of a training folder."""

from pathlib import Path
from typing import Any

import torch
from snac import SNAC

from training.codec.config import CodecConfig
from training.codec.encoder import MelEncoder
from training.codec.frozen import write_frozen
from training.codec.quantizer import build_quantizer
from training.files import hash_file
from training.folder import TrainingFolder
from training.language_model.model import LanguageModel, ModelConfig
from training.language_model.vocabulary import Vocabulary
from training.package.description import VoiceDescription
from training.package.sources import VoiceSources
from training.recipe import Recipe, claim, read_recipe_hash
from training.states import state_path

VOCABULARY = Vocabulary(("tara", "leo"), 8)
MODEL = ModelConfig(
    VOCABULARY.size, hidden_size=64, num_layers=2, head_dim=32, intermediate_size=64
)
CODEC = CodecConfig(
    codebook_size=8, latent_dim=16, decoder_dim=16, encoder_width=16, encoder_blocks=1
)
VOICES = (
    VoiceDescription("tara", "en-us", "warm American woman"),
    VoiceDescription("leo", "en-us", "deep American man"),
)


def random_model(seed: int = 0) -> LanguageModel:
    model = LanguageModel(MODEL)
    model.initialise(seed)
    return model


def random_codec() -> dict[str, torch.Tensor]:
    """Returns the weights of a SNAC without its waveform encoder."""
    torch.manual_seed(0)
    codec = SNAC(**CODEC.to_snac())
    codec.encoder = None
    weights: dict[str, torch.Tensor] = codec.state_dict()
    return weights


def random_sources() -> VoiceSources:
    return VoiceSources(
        vocabulary=VOCABULARY,
        language_model=random_model(),
        codec_config=CODEC.to_snac(),
        codec=random_codec(),
        made_from={"encoder": "0123"},
    )


def write_stages(root: Path) -> TrainingFolder:
    """Writes what the stages before `package` leave."""
    folder = TrainingFolder(root)
    codec = random_codec()
    encoder, quantizer = MelEncoder(CODEC), build_quantizer(CODEC)
    quantizer.load_state_dict(
        {n.removeprefix("quantizer."): v for n, v in codec.items() if n.startswith("quantizer.")}
    )
    write_frozen(folder.encoder, CODEC, encoder, quantizer, {"made_from": "speech"})
    identity = hash_file(folder.encoder)
    claim(folder.tokens, Recipe("tokens", {"speech": "speech", "encoder": identity}))
    claim(folder.decoder, Recipe("decoder", {"speech": "speech", "encoder": identity, "seed": 0}))
    tokens = read_recipe_hash(folder.tokens)
    made_from = {"tokens": tokens, "speakers": list(VOCABULARY.speakers), "seed": 1}
    claim(folder.language_model, Recipe("language_model", made_from))
    decoder = {n.removeprefix("decoder."): v for n, v in codec.items() if n.startswith("decoder.")}
    write_state(folder.decoder, 7, {"decoder": decoder})
    write_language_model_state(folder.language_model, 5)
    return folder


def write_language_model_state(folder: Path, step: int, seed: int = 0) -> None:
    state = {"model": random_model(seed).state_dict(), "config": MODEL.to_json()}
    write_state(folder, step, state)


def write_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"step": step, "made_from": "hash", "state": state}, state_path(folder, step))
