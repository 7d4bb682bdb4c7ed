from pathlib import Path

import pytest
import torch

from tests.training.codec.speech import TINY, write_speech
from training.codec.encoder import MelEncoder
from training.codec.frozen import write_frozen
from training.codec.quantizer import build_quantizer
from training.decoder.__main__ import train_decoder
from training.decoder.trainee import DecoderRecipe
from training.distributed import World
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.recipe import Recipe, claim
from training.states import num_steps_done, split_steps
from training.trainer import Limits

RECIPE = DecoderRecipe(batch_size=1, segment_frames=2, discriminator_width=2)


def _freeze(folder: TrainingFolder, seed: int) -> None:
    torch.manual_seed(seed)
    encoder, quantizer = MelEncoder(TINY), build_quantizer(TINY)
    write_frozen(folder.encoder, TINY, encoder, quantizer, {"made_from": "hash"})


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    folder = TrainingFolder(tmp_path)
    speech = Recipe("speech", {"teacher": "made up"})
    claim(folder.speech, speech)
    write_speech(folder.speech, made_from=speech.hash)
    _freeze(folder, 0)
    return folder


def _train(folder: TrainingFolder, num_steps: int) -> bool:
    return train_decoder(
        folder,
        RECIPE,
        split_steps(num_steps),
        world=World(),
        limits=Limits(),
        is_compiled=False,
    )


def test_a_raised_budget_goes_on(folder: TrainingFolder) -> None:
    assert _train(folder, 5)
    assert num_steps_done(folder.decoder, split_steps(5)) == 5
    assert _train(folder, 10)
    assert num_steps_done(folder.decoder, split_steps(10)) == 10


def test_a_decoder_of_another_encoder_is_refused(folder: TrainingFolder) -> None:
    _train(folder, 2)
    _freeze(folder, 1)
    with pytest.raises(TrainingError, match="made from something else .*encoder"):
        _train(folder, 5)


def test_an_encoder_must_be_frozen(folder: TrainingFolder) -> None:
    folder.encoder.unlink()
    with pytest.raises(TrainingError, match="run the stage codes first"):
        _train(folder, 5)
