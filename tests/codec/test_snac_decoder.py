"""Our decode against the `snac` package and against the reference decoder of Orpheus."""

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from snac import SNAC

from orpheus_server.checkpoint import TokenLayout
from orpheus_server.codec import snac_decoder
from orpheus_server.codec.snac_decoder import SnacDecoder, load_codec, use_one_thread
from orpheus_server.errors import GenerationFailed, StartError
from orpheus_server.frames import Frame, to_levels
from orpheus_server.published import ENGLISH
from orpheus_server.workers import WorkerPool
from tests.shapes import SNAC_24KHZ

POCKET_CODEC = Path(__file__).parents[2] / "models" / "pocket" / "codec"
POCKET = TokenLayout(
    audio_token_base=96, codebook_size=128, slot_levels=(0, 1, 2, 2, 1, 2, 2), stop_token_ids=(4,)
)
# The same with a tenth of the width: structure without the time.
NARROW = SNAC_24KHZ | {"decoder_dim": 128, "encoder_dim": 8}
CPU = torch.device("cpu")


def random_codec(config: dict[str, Any], seed: int = 0) -> SNAC:
    torch.manual_seed(seed)
    return SNAC(**config).eval()


def random_frames(num_frames: int, codebook_size: int, *, lowest: int = 0) -> list[Frame]:
    generator = np.random.default_rng(num_frames)
    codes = generator.integers(lowest, codebook_size, size=(num_frames, 7))
    return [tuple(int(code) for code in row) for row in codes]


def build(codec: SNAC, layout: TokenLayout) -> SnacDecoder:
    return SnacDecoder(codec, layout, CPU, WorkerPool(1))


def decode_with_snac(codec: SNAC, frames: list[Frame]) -> np.ndarray[Any, Any]:
    levels = [torch.tensor([codes]) for codes in to_levels(frames, POCKET.slot_levels)]
    with torch.inference_mode():
        result: np.ndarray[Any, Any] = codec.decode(levels)[0, 0].numpy()
    return result


@pytest.mark.parametrize("num_frames", [1, 2, 3, 17])
def test_equals_the_package_when_noise_is_off(num_frames: int) -> None:
    config = NARROW | {"noise": False}
    frames = random_frames(num_frames, 4096)
    expected = decode_with_snac(random_codec(config), frames)
    samples = build(random_codec(config), ENGLISH.layout).decode_now(frames, noise_seed=1)
    assert samples.shape == (num_frames * 2048,)
    np.testing.assert_allclose(samples, expected, atol=2e-6)


def test_bundled_codec_equals_the_package() -> None:
    frames = random_frames(20, 128)
    expected = decode_with_snac(load_codec(POCKET_CODEC), frames)
    samples = build(load_codec(POCKET_CODEC), POCKET).decode_now(frames, noise_seed=1)
    np.testing.assert_allclose(samples, expected, atol=2e-6)


def test_noise_is_the_same_for_the_same_seed_only() -> None:
    """The package draws `randn` in every decode: the same codes never sound the same twice."""
    frames = random_frames(4, 4096)
    decoder = build(random_codec(NARROW), ENGLISH.layout)
    first = decoder.decode_now(frames, noise_seed=1)
    assert np.array_equal(first, decoder.decode_now(frames, noise_seed=1))
    assert not np.array_equal(first, decoder.decode_now(frames, noise_seed=2))


@pytest.mark.parametrize("num_frames", [32, 33, 35, 70])
def test_windows_give_the_samples_of_a_decode_in_one_piece(
    num_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute in one piece takes gigabytes at the published width, on every worker."""
    frames = random_frames(num_frames, 4096)
    config = NARROW | {"decoder_dim": 64}
    in_windows = build(random_codec(config), ENGLISH.layout).decode_now(frames, noise_seed=5)
    monkeypatch.setattr(snac_decoder, "WINDOW_FRAMES", 1000)
    whole = build(random_codec(config), ENGLISH.layout).decode_now(frames, noise_seed=5)
    assert whole.shape == (num_frames * 2048,)
    np.testing.assert_allclose(in_windows, whole, atol=5e-6)


def test_a_codec_with_attention_is_decoded_in_one_piece() -> None:
    """SNAC's 32 and 44 kHz codecs attend to blocks of latents: a window would sound different."""
    config = NARROW | {"decoder_dim": 64, "attn_window_size": 32, "noise": False}
    frames = random_frames(40, 4096)
    expected = decode_with_snac(random_codec(config), frames)
    samples = build(random_codec(config), ENGLISH.layout).decode_now(frames, noise_seed=5)
    np.testing.assert_allclose(samples, expected, atol=5e-6)


def test_weight_norm_is_folded() -> None:
    """Recomputed in each call it is 38 extra operations a decode."""
    decoder = build(random_codec(NARROW), ENGLISH.layout)
    names = [name for layer in decoder._layers for name, _ in layer.named_parameters()]
    assert not [name for name in names if "parametrizations" in name]
    assert "weight" in names


@pytest.mark.anyio
async def test_decodes_in_parallel_threads_with_the_same_result() -> None:
    pool = WorkerPool(4, initializer=use_one_thread)
    decoder = SnacDecoder(random_codec(NARROW), ENGLISH.layout, CPU, pool)
    frames = [random_frames(count, 4096) for count in (3, 5, 8, 2, 4)]
    together = await asyncio.gather(
        *(decoder.decode(each, noise_seed=index) for index, each in enumerate(frames))
    )
    # One by one in the same pool: another number of threads adds in another order.
    alone = [await decoder.decode(each, noise_seed=index) for index, each in enumerate(frames)]
    assert [np.array_equal(a, b) for a, b in zip(together, alone, strict=True)] == [True] * 5
    assert (decoder.sample_rate, decoder.samples_per_frame) == (24_000, 2048)
    await pool.close()


def test_a_code_outside_of_the_codebook_fails_the_request_only() -> None:
    """The reference lets 4096 pass (`> 4096`): an index error on CPU, a dead device on CUDA."""
    decoder = build(random_codec(NARROW), ENGLISH.layout)
    with pytest.raises(GenerationFailed, match="codec failed"):
        decoder.decode_now([(4096, 0, 0, 0, 0, 0, 0)], noise_seed=1)
    assert decoder.decode_now(random_frames(1, 4096), noise_seed=1).shape == (2048,)


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`orpheus_tts.decoder`, whose import loads the published weights: that call is replaced.

    Loaded from its file, because the package's `__init__` imports vLLM; on the CPU, because the
    module names "cuda".
    """
    codec = random_codec(SNAC_24KHZ | {"noise": False})
    monkeypatch.setattr(codec, "to", lambda device: codec)
    monkeypatch.setattr(SNAC, "from_pretrained", lambda name: codec)
    package = importlib.util.find_spec("orpheus_tts")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "decoder.py"
    spec = importlib.util.spec_from_file_location("reference_decoder", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "snac_device", "cpu")
    return module


async def reference_frames(module: ModuleType, frames: list[Frame]) -> list[np.ndarray[Any, Any]]:
    """What the reference plays, one array a frame, from the token strings that it reads."""

    async def tokens() -> AsyncIterator[str]:
        for frame in frames:
            for slot, code in enumerate(frame):
                yield f"<custom_token_{10 + slot * 4096 + code}>"

    return [
        np.frombuffer(chunk, dtype=np.int16) / 32767.0
        async for chunk in module.tokens_decoder(tokens())
    ]


@pytest.mark.anyio
async def test_conforms_to_the_reference_and_has_three_more_frames(reference: ModuleType) -> None:
    """It plays frames 1 to N-3 from windows of 4: one frame of context before, two after."""
    frames = random_frames(9, 4096, lowest=1)
    played = await reference_frames(reference, frames)
    codec = random_codec(SNAC_24KHZ | {"noise": False})
    ours = build(codec, ENGLISH.layout).decode_now(frames, noise_seed=0).reshape(9, 2048)
    assert len(ours) == len(played) + 3
    for index, theirs in enumerate(played, start=1):
        error = np.sqrt(np.mean((ours[index] - theirs) ** 2) / np.mean(ours[index] ** 2))
        # Its own approximation: 6e-3 measured for one frame before and two after.
        assert error < 2e-2, index


@pytest.mark.anyio
async def test_the_reference_loses_a_frame_to_a_legal_code_0_and_ours_does_not(
    reference: ModuleType,
) -> None:
    """`token > 0` in the reference drops code 0, and every later token is one slot off."""
    frames = random_frames(9, 4096, lowest=1)
    frames[4] = (*frames[4][:3], 0, *frames[4][4:])
    played = await reference_frames(reference, frames)
    assert len(played) < 6
    codec = random_codec(SNAC_24KHZ | {"noise": False})
    assert build(codec, ENGLISH.layout).decode_now(frames, noise_seed=0).shape == (9 * 2048,)


class TestLoading:
    def write(self, folder: Path, config: dict[str, Any] | None = None) -> SNAC:
        codec = random_codec(config or NARROW)
        (folder / "config.json").write_text(json.dumps(config or NARROW))
        return codec

    def test_published_file_with_its_encoder(self, tmp_path: Path) -> None:
        codec = self.write(tmp_path)
        torch.save(codec.state_dict(), tmp_path / "pytorch_model.bin")
        self.check_same(codec, load_codec(tmp_path))

    def test_old_names_of_weight_norm(self, tmp_path: Path) -> None:
        """Checkpoints saved before torch's parametrizations call them weight_g and weight_v."""
        codec = self.write(tmp_path)
        state = {
            name.replace(".parametrizations.weight.original0", ".weight_g").replace(
                ".parametrizations.weight.original1", ".weight_v"
            ): value
            for name, value in codec.state_dict().items()
        }
        torch.save(state, tmp_path / "pytorch_model.bin")
        self.check_same(codec, load_codec(tmp_path))

    def test_safetensors_without_an_encoder(self, tmp_path: Path) -> None:
        codec = self.write(tmp_path)
        state = {
            name: value.contiguous()
            for name, value in codec.state_dict().items()
            if not name.startswith("encoder.")
        }
        save_file(state, tmp_path / "model.safetensors")
        self.check_same(codec, load_codec(tmp_path))

    def check_same(self, saved: SNAC, loaded: SNAC) -> None:
        frames = random_frames(2, 4096)
        first = build(saved, ENGLISH.layout).decode_now(frames, noise_seed=0)
        assert np.array_equal(first, build(loaded, ENGLISH.layout).decode_now(frames, noise_seed=0))

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StartError, match=r"config\.json is no SNAC configuration"):
            load_codec(tmp_path)
        self.write(tmp_path)
        with pytest.raises(StartError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
            load_codec(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"damaged")
        with pytest.raises(StartError, match="cannot be read"):
            load_codec(tmp_path)

    def test_weights_of_another_shape(self, tmp_path: Path) -> None:
        codec = self.write(tmp_path)
        torch.save(codec.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "config.json").write_text(json.dumps(NARROW | {"decoder_dim": 64}))
        with pytest.raises(StartError, match="do not fit"):
            load_codec(tmp_path)

    def test_a_pickle_that_runs_code_is_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        torch.save({"codec": Path}, tmp_path / "pytorch_model.bin")
        with pytest.raises(StartError, match="cannot be read"):
            load_codec(tmp_path)

    def test_a_codec_of_another_layout_is_refused(self) -> None:
        with pytest.raises(StartError, match=r"4096 codes and \[1, 2, 4\].* writes 128"):
            build(random_codec(NARROW), POCKET)
