from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.codec.speech import TINY, write_speech
from training.codec.segments import SpeechSegments
from training.codes.trainee import CodesRecipe, CodesTrainee
from training.distributed import World

RECIPE = CodesRecipe(batch_size=2, segment_frames=2, restart_every=3)
NewTrainee = Callable[[], CodesTrainee]


@pytest.fixture
def new_trainee(tmp_path: Path) -> NewTrainee:
    write_speech(tmp_path / "speech")
    segments = SpeechSegments(tmp_path / "speech", made_from="speech hash")
    return lambda: CodesTrainee(TINY, RECIPE, segments, World(), is_compiled=False)


def test_training_brings_the_mels_closer(new_trainee: NewTrainee) -> None:
    trainee = new_trainee()
    distances = [trainee.train_step(step, 1.0)["mel_distance"] for step in range(30)]
    assert distances[-1] < 0.9 * distances[0]


@pytest.mark.parametrize(("until_step", "moved"), [(0, False), (1, True)])
def test_unused_codes_are_moved_in_the_first_part_only(
    tmp_path: Path, until_step: int, moved: bool
) -> None:
    write_speech(tmp_path)
    segments = SpeechSegments(tmp_path, made_from="speech hash")
    recipe = replace(RECIPE, learning_rate=0.0, restart_until_step=until_step)
    trainee = CodesTrainee(TINY, recipe, segments, World(), is_compiled=False)
    before = trainee.quantizer.quantizers[0].codebook.weight.detach().clone()
    trainee.train_step(0, 1.0)
    after = trainee.quantizer.quantizers[0].codebook.weight
    assert torch.equal(before, after) is not moved
