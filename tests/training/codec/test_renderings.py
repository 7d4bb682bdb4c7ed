from pathlib import Path

import numpy as np
import torch

from tests.training.codec.speech import write_speech
from training.codec.renderings import (
    Rendered,
    Rendering,
    Source,
    render_shard,
    select_recordings,
    to_mel_distance,
)
from training.ear.recordings import read_recordings


def _half(samples: torch.Tensor) -> Rendered:
    pcm = (samples[0] * 16384).round().to(torch.int16).numpy()
    return Rendered(pcm, float(samples.shape[1]))


HALF = Rendering("half", "abc", _half)


def test_recordings_are_rendered_in_whole_frames(tmp_path: Path) -> None:
    speech = write_speech(tmp_path, lengths=(5_000, 2_048))
    target = render_shard(HALF, Source(tmp_path / "00000.safetensors", 2), tmp_path / "work")
    assert target.name == "half-abc-00000.safetensors"
    recordings = list(read_recordings(target))
    assert [recording.key for recording in recordings] == [
        "half-abc-00000/0",
        "half-abc-00000/1",
    ]
    assert [len(recording.samples) for recording in recordings] == [6_144, 2_048]
    np.testing.assert_allclose(recordings[0].samples[:5_000], speech[0] / 2, atol=0.5)
    assert not recordings[0].samples[5_000:].any()


def test_a_shard_is_rendered_once_and_again_if_it_is_cut_or_too_short(tmp_path: Path) -> None:
    write_speech(tmp_path, lengths=(5_000, 2_048))
    path, num_rendered = tmp_path / "00000.safetensors", 0

    def counting(samples: torch.Tensor) -> Rendered:
        nonlocal num_rendered
        num_rendered += 1
        return _half(samples)

    rendering = Rendering("half", "", counting)
    target = render_shard(rendering, Source(path, 1), tmp_path)
    render_shard(rendering, Source(path, 1), tmp_path)
    assert num_rendered == 1
    render_shard(rendering, Source(path, 2), tmp_path)
    assert num_rendered == 3
    whole = target.read_bytes()
    target.write_bytes(whole[:-100])
    assert render_shard(rendering, Source(path, 2), tmp_path).read_bytes() == whole


def test_a_limit_is_shared_by_the_shards(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:05}.safetensors" for number in range(3)]
    for number in range(3):
        write_speech(tmp_path, number, lengths=(1_000, 1_000))
    assert [s.num_recordings for s in select_recordings(paths, None)] == [2, 2, 2]
    assert [s.num_recordings for s in select_recordings(paths, 3)] == [2, 1]


def test_the_distance_is_a_mean_over_bands_and_time() -> None:
    assert to_mel_distance(torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, 2.0]])) == 2.0
