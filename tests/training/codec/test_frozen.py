from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.codec.speech import TINY, write_speech
from training.codec.encoder import MelEncoder, MelHead
from training.codec.frames import to_books
from training.codec.frozen import (
    FrozenEncoder,
    load_frozen,
    load_mel_head,
    write_frozen,
    write_mel_head,
)
from training.codec.quantizer import build_quantizer
from training.errors import TrainingError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "encoder.safetensors"
    write_frozen(path, TINY, MelEncoder(TINY), build_quantizer(TINY), {"made_from": "hash"})
    return path


@pytest.fixture
def frozen(path: Path) -> FrozenEncoder:
    return load_frozen(path)


def test_the_last_frame_is_filled_with_silence(frozen: FrozenEncoder, tmp_path: Path) -> None:
    samples = write_speech(tmp_path, 7, lengths=(5_000,))[0]
    codes = frozen.encode(samples)
    assert codes.shape == (3, 7)
    assert codes.dtype == np.uint16
    filled = np.concatenate([samples, np.zeros(3 * 2_048 - 5_000, np.int16)])
    assert frozen.encode(filled).tolist() == codes.tolist()


def test_the_file_and_its_identity_are_the_same_every_time(
    path: Path, frozen: FrozenEncoder, tmp_path: Path
) -> None:
    again = tmp_path / "again.safetensors"
    write_frozen(again, TINY, frozen.encoder, frozen.quantizer, {"made_from": "hash"})
    assert again.read_bytes() == path.read_bytes()
    assert load_frozen(again).identity == frozen.identity
    assert frozen.config == TINY


def test_threads_and_precision_do_not_change_the_codes(
    path: Path, frozen: FrozenEncoder, tmp_path: Path
) -> None:
    samples = write_speech(tmp_path, 7, lengths=(20_000,))[0]
    codes = frozen.encode(samples)
    num_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if num_threads > 1 else 2)
        assert frozen.encode(samples).tolist() == codes.tolist()
    finally:
        torch.set_num_threads(num_threads)
    books = [torch.from_numpy(book.astype(np.int64))[None] for book in to_books(codes)]
    single = load_frozen(path, torch.float32)
    padded = torch.zeros(1, len(codes) * 2_048)
    padded[0, : len(samples)] = torch.from_numpy(samples.astype(np.float32) / 32_768)
    latents = frozen.quantizer.from_codes(books).float()
    differs = (single.latents(padded) - latents).abs().amax(dim=1) > 1e-3
    assert float(differs.float().mean()) < 0.05


def test_a_missing_file_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage codes first"):
        load_frozen(tmp_path / "encoder.safetensors")


def test_mel_head_is_kept_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    mel_head, path = MelHead(TINY), tmp_path / "mel_head.safetensors"
    write_mel_head(path, TINY, mel_head, {"made_from": "hash"})
    loaded = load_mel_head(path, torch.float32).state_dict()
    for name, value in mel_head.state_dict().items():
        assert torch.equal(loaded[name], value.half().float())
