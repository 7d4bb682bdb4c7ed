"""Checks a checkpoint folder by loading it as its users do."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from orpheus_server.audio.snac.decoder import load_codec
from orpheus_server.checkpoints.checkpoint import Checkpoint, TokenLayout
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.errors import StartError
from orpheus_server.synthesis.prompts import PromptBuilder, load_tokenizer
from orpheus_server.text.front_end import PreparedText
from training.codec.config import SAMPLES_PER_FRAME
from training.errors import TrainingError
from training.language_model.vocabulary import SYMBOLS, Vocabulary
from training.package.sources import VoiceSources

MAX_LOGIT_DIFFERENCE = 1e-3
NUM_FRAMES = 2


def check_voice(folder: Path, sources: VoiceSources) -> None:
    """Raises `TrainingError` if the folder does not load, or says something else than `sources`."""
    try:
        checkpoint = load_speech_json(folder)
        _check_prompts(folder, checkpoint, sources.vocabulary)
        _check_codec(folder / checkpoint.codec, checkpoint.layout)
    except StartError as error:
        raise TrainingError(f"the server would refuse this checkpoint: {error}") from error
    _check_logits(folder, sources)


def _check_prompts(folder: Path, checkpoint: Checkpoint, vocabulary: Vocabulary) -> None:
    builder = PromptBuilder(checkpoint, load_tokenizer(folder))
    text = " ".join(SYMBOLS)
    chunk = PreparedText(piece="", text="", spoken=text, piece_sec=0.0, expected_sec=0.0)
    for voice in checkpoint.voices:
        served = list(builder.build(chunk, voice).token_ids)
        if served != vocabulary.prompt_ids(voice.name, SYMBOLS):
            raise TrainingError(f"{folder}: the server's prompt for {voice.name} is another one")


@torch.no_grad()
def _check_logits(folder: Path, sources: VoiceSources) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    table = _round(sources.language_model.embeddings())
    ours = deepcopy(sources.language_model.model)
    ours.load_state_dict({name: _round(value) for name, value in ours.state_dict().items()})
    ids = torch.randint(
        sources.vocabulary.size, (1, 64), generator=torch.Generator().manual_seed(0)
    )
    hidden, _ = ours(ids, table)
    difference = float((theirs(ids).logits - hidden @ table.T).abs().max())
    if not difference <= MAX_LOGIT_DIFFERENCE:
        raise TrainingError(
            f"{folder}: transformers' logits differ from the trained model's by {difference:.2g}"
        )


@torch.no_grad()
def _check_codec(folder: Path, layout: TokenLayout) -> None:
    codec = load_codec(folder)
    codes = [
        torch.zeros(1, NUM_FRAMES * layout.slot_levels.count(level), dtype=torch.long)
        for level in range(len(codec.vq_strides))
    ]
    samples = codec.decode(codes)
    expected = (1, 1, NUM_FRAMES * SAMPLES_PER_FRAME)
    if samples.shape != expected or not samples.isfinite().all():
        raise TrainingError(f"{folder}: the codec does not decode {NUM_FRAMES} frames")


def _round(value: Tensor) -> Tensor:
    return value.to(torch.bfloat16).float()
