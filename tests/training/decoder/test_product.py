from pathlib import Path

import numpy as np
import pytest
import torch
from snac import SNAC

from orpheus_server.audio.snac.cropped import CroppedDecoder
from orpheus_server.audio.snac.decoder import load_codec
from orpheus_server.checkpoints.published import ENGLISH
from tests.audio.snac.codecs import (
    build_cutter,
    cut,
    decode_rows,
    join,
    random_codec,
    random_frames,
)
from tests.training.codec.speech import TINY
from training.codec.encoder import MelEncoder
from training.codec.frames import to_books
from training.codec.frozen import load_frozen, write_frozen
from training.codec.quantizer import build_quantizer
from training.decoder.product import codec_weights, read_codec, write_codec
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.states import state_path


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    torch.manual_seed(0)
    folder = TrainingFolder(tmp_path)
    encoder, quantizer = MelEncoder(TINY), build_quantizer(TINY)
    write_frozen(folder.encoder, TINY, encoder, quantizer, {"made_from": "hash"})
    return folder


def test_the_server_decodes_the_codec_as_snac_does(folder: TrainingFolder) -> None:
    decoder = random_codec(TINY.to_snac()).decoder.state_dict()
    # A packaged codec is in half precision.
    decoder = {name: value.half() for name, value in decoder.items()}
    frozen = load_frozen(folder.encoder, torch.float32)
    path = folder.voice / "codec"
    write_codec(path, TINY.to_snac(), codec_weights(frozen, decoder))

    frames = random_frames(20, TINY.codebook_size)
    books = to_books(np.array(frames))
    codec = SNAC(**TINY.to_snac())
    codec.quantizer.load_state_dict(frozen.quantizer.state_dict())
    codec.decoder.load_state_dict(decoder)
    with torch.inference_mode():
        wanted = codec.decode([torch.from_numpy(book)[None] for book in books])[0, 0].numpy()

    model = CroppedDecoder(load_codec(path), ENGLISH.layout.slot_levels)
    windows = cut(build_cutter(model), frames)
    found = join(windows, [decode_rows(model, [window])[0] for window in windows])
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_the_newest_state_is_the_product(folder: TrainingFolder) -> None:
    decoder = random_codec(TINY.to_snac()).decoder.state_dict()
    folder.decoder.mkdir()
    torch.save(
        {"step": 3, "made_from": "x", "state": {"decoder": decoder}}, state_path(folder.decoder, 3)
    )
    config, weights = read_codec(folder)
    assert config == TINY.to_snac()
    assert not any(name.startswith("encoder.") for name in weights)
    codec = SNAC(**config)
    missing, unexpected = codec.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith("encoder.") for name in missing)


def test_a_decoder_must_have_been_trained(folder: TrainingFolder) -> None:
    with pytest.raises(TrainingError, match="run the stage decoder first"):
        read_codec(folder)
