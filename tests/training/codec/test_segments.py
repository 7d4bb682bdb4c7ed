from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.codec.speech import write_speech
from training.codec.segments import GAINS, SpeechSegments, step_random
from training.errors import TrainingError


def _segments(folder: Path) -> SpeechSegments:
    return SpeechSegments(folder, made_from="speech hash")


def test_segments_depend_on_seed_step_and_rank_only(tmp_path: Path) -> None:
    write_speech(tmp_path, 0)
    write_speech(tmp_path, 1)
    first, second = (_segments(tmp_path).batch(step_random(0, 5, 1), 4, 2_048) for _ in range(2))
    assert first.shape == (4, 2_048)
    assert first.dtype == torch.float32
    assert torch.equal(first, second)
    others = [step_random(1, 5, 1), step_random(0, 6, 1), step_random(0, 5, 0)]
    assert not any(torch.equal(first, _segments(tmp_path).batch(r, 4, 2_048)) for r in others)


def test_segments_are_speech_times_a_gain(tmp_path: Path) -> None:
    speech = np.concatenate(write_speech(tmp_path, lengths=(4_000,))).astype(np.float32) / 32_768
    segment = _segments(tmp_path).batch(step_random(0, 0, 0), 1, 2_048)[0].numpy()
    windows = np.lib.stride_tricks.sliding_window_view(speech, 2_048)
    gains = windows @ segment / (windows * windows).sum(axis=1)
    errors = np.abs(windows * gains[:, None] - segment).max(axis=1)
    best = int(errors.argmin())
    assert errors[best] < 1e-5
    assert GAINS[0] <= gains[best] <= GAINS[1]


def test_new_shards_are_noticed(tmp_path: Path) -> None:
    write_speech(tmp_path, 0, lengths=(5_000,))
    segments = _segments(tmp_path)
    write_speech(tmp_path, 1, lengths=(7_000, 2_000))
    assert segments.num_samples == 5_000
    segments.refresh()
    assert segments.num_samples == 14_000


def test_a_cut_shard_is_not_used_and_not_deleted(tmp_path: Path) -> None:
    write_speech(tmp_path, 0, lengths=(5_000,))
    write_speech(tmp_path, 1)
    path = tmp_path / "00001.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert _segments(tmp_path).num_samples == 5_000
    assert path.exists()


def test_speech_of_another_recipe_is_refused(tmp_path: Path) -> None:
    write_speech(tmp_path, made_from="another hash")
    with pytest.raises(TrainingError, match="was made from another hash, and this is speech hash"):
        _segments(tmp_path)


def test_a_folder_without_speech_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage speech first"):
        _segments(tmp_path).batch(step_random(0, 0, 0), 1, 2_048)


def test_shards_shorter_than_a_segment_are_one_line(tmp_path: Path) -> None:
    write_speech(tmp_path, lengths=(1_000,))
    with pytest.raises(TrainingError, match="no segment of speech that is long enough"):
        _segments(tmp_path).batch(step_random(0, 0, 0), 1, 2_048)
