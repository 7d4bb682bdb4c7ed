from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.codec.speech import TINY, write_speech
from training.codec.config import SAMPLE_RATE
from training.codec.encoder import MelEncoder
from training.codec.frozen import FrozenEncoder, load_frozen, write_frozen
from training.codec.quantizer import build_quantizer
from training.shards import read_shard
from training.tokens.encoding import TAIL_SEC, encode_shard, to_frame_times


@pytest.fixture
def frozen(tmp_path: Path) -> FrozenEncoder:
    torch.manual_seed(0)
    path = tmp_path / "encoder.safetensors"
    write_frozen(path, TINY, MelEncoder(TINY), build_quantizer(TINY), {"made_from": "hash"})
    return load_frozen(path)


def test_a_token_shard_has_the_frames_of_each_utterance(
    frozen: FrozenEncoder, tmp_path: Path
) -> None:
    speech = write_speech(tmp_path / "speech")
    target = tmp_path / "tokens.safetensors"
    num_frames = encode_shard(tmp_path / "speech/00000.safetensors", target, frozen)
    arrays, info = read_shard(target)
    assert info["made_from"] == {"speech": "speech hash", "encoder": frozen.identity}
    assert [u["symbols"] for u in info["utterances"]] == [["h", "ˈaɪ", "."]] * 2
    assert arrays["codes"].shape == (num_frames, 7)
    assert arrays["codes"].dtype == np.uint16
    assert arrays["frame_ends"].dtype == np.int64
    assert arrays["symbol_frames"].shape == (6, 2)
    assert arrays["symbol_frames"].dtype == np.float32
    start = 0
    for samples, end in zip(speech, arrays["frame_ends"], strict=True):
        stop_start = np.float32(len(samples) / SAMPLE_RATE * 0.6)
        kept = samples[: int((float(stop_start) + TAIL_SEC) * SAMPLE_RATE)]
        assert arrays["codes"][start:end].tolist() == frozen.encode(kept).tolist()
        start = int(end)
    assert start == num_frames


def test_encoding_again_gives_the_same_file(frozen: FrozenEncoder, tmp_path: Path) -> None:
    write_speech(tmp_path / "speech")
    files = []
    for name in ("a.safetensors", "b.safetensors"):
        again = load_frozen(tmp_path / "encoder.safetensors")
        encode_shard(tmp_path / "speech/00000.safetensors", tmp_path / name, again)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_times_are_in_frames_and_end_with_the_utterance() -> None:
    frame_sec = 2_048 / 24_000
    times = to_frame_times(np.array([0, 1.5]) * frame_sec, np.array([1.5, 9]) * frame_sec, 5)
    np.testing.assert_allclose(times, [[0, 1.5], [1.5, 5]], rtol=1e-6)


def test_a_shard_whose_utterances_were_all_skipped_has_no_frames(
    frozen: FrozenEncoder, tmp_path: Path
) -> None:
    write_speech(tmp_path / "speech", lengths=(), made_from="x")
    target = tmp_path / "tokens.safetensors"
    assert encode_shard(tmp_path / "speech/00000.safetensors", target, frozen) == 0
    assert read_shard(target)[0]["codes"].shape == (0, 7)
