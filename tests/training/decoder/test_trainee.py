from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.codec.speech import TINY, write_speech
from training.codec.encoder import MelEncoder
from training.codec.frozen import load_frozen, write_frozen
from training.codec.quantizer import build_quantizer
from training.codec.segments import SpeechSegments
from training.decoder.trainee import DecoderRecipe, DecoderTrainee
from training.distributed import World

RECIPE = DecoderRecipe(
    batch_size=1,
    segment_frames=2,
    discriminator_width=2,
    discriminate_from_step=3,
    discriminator_warm_up_steps=2,
)
NewTrainee = Callable[[], DecoderTrainee]


@pytest.fixture
def new_trainee(tmp_path: Path) -> NewTrainee:
    write_speech(tmp_path / "speech")
    torch.manual_seed(0)
    path = tmp_path / "encoder.safetensors"
    write_frozen(path, TINY, MelEncoder(TINY), build_quantizer(TINY), {"made_from": "hash"})
    segments = SpeechSegments(tmp_path / "speech", made_from="speech hash")

    def build() -> DecoderTrainee:
        frozen = load_frozen(path, torch.float32)
        return DecoderTrainee(frozen, RECIPE, segments, World(), is_compiled=False)

    return build


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, torch.Tensor):
        return torch.equal(found, wanted)
    if isinstance(wanted, Mapping):
        return found.keys() == wanted.keys() and all(_equal(found[k], wanted[k]) for k in wanted)
    return bool(found == wanted)


def test_discriminators_join_at_their_step(new_trainee: NewTrainee) -> None:
    trainee = new_trainee()
    before = {k: v.clone() for k, v in trainee.state_dict()["discriminators"].items()}
    assert set(trainee.train_step(2, 1.0)) == {"spectral"}
    assert _equal(trainee.state_dict()["discriminators"], before)
    metrics = set(trainee.train_step(3, 1.0))
    assert metrics == {"spectral", "discriminator", "adversarial", "features"}
    assert not _equal(trainee.state_dict()["discriminators"], before)
    assert all(p.requires_grad for p in trainee.decoder.parameters())


def test_training_brings_the_spectra_closer(new_trainee: NewTrainee) -> None:
    trainee = new_trainee()
    losses = [trainee.train_step(0, 1.0)["spectral"] for _ in range(10)]
    assert losses[-1] < 0.8 * losses[0]


def test_encoder_and_quantizer_are_not_changed(new_trainee: NewTrainee) -> None:
    trainee = new_trainee()
    parts = {**trainee.frozen.encoder.state_dict(), **trainee.frozen.quantizer.state_dict()}
    before = {name: value.clone() for name, value in parts.items()}
    for step in (0, RECIPE.discriminate_from_step):
        trainee.train_step(step, 1.0)
    after = {**trainee.frozen.encoder.state_dict(), **trainee.frozen.quantizer.state_dict()}
    assert _equal(after, before)
