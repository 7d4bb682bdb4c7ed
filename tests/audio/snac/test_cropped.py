"""Windows compared with the `snac` package's decode of the whole utterance."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snac import SNAC
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from orpheus_server.audio.snac.cropped import CroppedDecoder, fold_weight_norm
from orpheus_server.audio.snac.decoder import load_codec
from orpheus_server.audio.snac.layers import Conv, LastConv, Noise, Residual, Transposed
from orpheus_server.audio.snac.spans import Span
from orpheus_server.audio.snac.windows import HOPS, Window
from orpheus_server.checkpoints.published import SNAC_24KHZ
from tests.audio.snac.codecs import (
    Floats,
    build_cutter,
    cut,
    decode_rows,
    decode_with_snac,
    join,
    key_noise,
    random_codec,
    random_frames,
)
from tests.support.shapes import FRAME_LEVELS, SNAC_NARROW

POCKET_CODEC = Path(__file__).parents[3] / "models" / "pocket" / "codec"
FIFTEEN_LEVELS = (0, 1, 2, 3, 3, 2, 3, 3, 1, 2, 3, 3, 2, 3, 3)
NOISE_SEED = 2**62 + 17


@dataclass(frozen=True)
class Case:
    """A codec as the package's own `whole` model and as a `CroppedDecoder`."""

    whole: SNAC
    model: CroppedDecoder
    levels: tuple[int, ...]
    codebook_size: int


def narrow(levels: tuple[int, ...] = FRAME_LEVELS, **changes: Any) -> Callable[[], Case]:
    """Returns a builder of the published shape with few channels and these `changes`."""

    def build() -> Case:
        whole, codec = (random_codec(SNAC_NARROW | changes).double() for _ in range(2))
        return Case(key_noise(whole, NOISE_SEED), CroppedDecoder(codec, levels), levels, 4096)

    return build


def bundled() -> Case:
    codec = load_codec(POCKET_CODEC).double()
    return Case(codec, CroppedDecoder(codec, FRAME_LEVELS), FRAME_LEVELS, 128)


CASES: dict[str, Callable[[], Case]] = {
    "published": narrow(noise=False),
    "noise": narrow(),
    "bundled": bundled,
    "dense convolutions": narrow(depthwise=False, decoder_dim=32),
    # An odd stride has more padding on one side than on the other.
    "odd strides": narrow(encoder_rates=[3, 3, 7, 7], decoder_rates=[7, 7, 3, 3]),
    "odd strides, coarse last": narrow(encoder_rates=[7, 7, 3, 3], decoder_rates=[3, 3, 7, 7]),
    # SNAC's 32 kHz codec without its attention.
    "four levels": narrow(
        FIFTEEN_LEVELS,
        encoder_rates=[2, 3, 8, 8],
        decoder_rates=[8, 8, 3, 2],
        vq_strides=[8, 4, 2, 1],
    ),
    "one level, three blocks": narrow(
        (0,), encoder_rates=[2, 3, 4], decoder_rates=[4, 3, 2], vq_strides=[1]
    ),
}


@cache
def case(name: str) -> Case:
    return CASES[name]()


@cache
def published_shape() -> CroppedDecoder:
    return CroppedDecoder(random_codec(SNAC_24KHZ | {"noise": False}), FRAME_LEVELS)


def decode_mixed(
    model: CroppedDecoder, utterances: list[list[Window]], shuffle: int, max_rows: int
) -> list[Floats]:
    """Returns each utterance's samples from calls that mix the windows of all in random order."""
    rows: dict[int, torch.Tensor] = {}
    generator = np.random.default_rng(shuffle)
    for hop in HOPS:
        same_hop = [window for windows in utterances for window in windows if window.hop == hop]
        order = generator.permutation(len(same_hop))
        for first in range(0, len(same_hop), max_rows):
            batch = [same_hop[index] for index in order[first : first + max_rows]]
            decoded = decode_rows(model, batch, [NOISE_SEED] * len(batch))
            rows |= {id(window): row for window, row in zip(batch, decoded, strict=True)}
    return [join(windows, [rows[id(window)] for window in windows]) for windows in utterances]


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=6, deadline=None)
@given(
    lengths=st.lists(st.one_of(st.integers(1, 12), st.integers(1, 60)), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
    max_rows=st.integers(1, 16),
)
def test_joined_windows_are_the_whole_decode(
    name: str, lengths: list[int], seed: int, max_rows: int
) -> None:
    """Whatever else is in the batch. In float64 another order of additions changes only 1e-14."""
    codec = case(name)
    utterances = [
        random_frames(length, codec.codebook_size, seed=seed + index, num_slots=len(codec.levels))
        for index, length in enumerate(lengths)
    ]
    windows = [cut(build_cutter(codec.model), frames) for frames in utterances]
    for frames, joined in zip(
        utterances, decode_mixed(codec.model, windows, seed, max_rows), strict=True
    ):
        assert joined.shape == (len(frames) * codec.model.samples_per_frame,)
        expected = decode_with_snac(codec.whole, frames, codec.levels)
        assert 0.01 < np.std(expected) < 0.95, "silent or saturated audio proves nothing"
        np.testing.assert_allclose(joined, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("num_frames", [1, 7])
def test_the_published_width_in_float32(num_frames: int) -> None:
    codec = random_codec(SNAC_24KHZ | {"noise": False})
    frames = random_frames(num_frames)
    windows = cut(build_cutter(published_shape()), frames)
    rows = [decode_rows(published_shape(), [window])[0] for window in windows]
    expected = decode_with_snac(codec, frames)
    np.testing.assert_allclose(join(windows, rows), expected, atol=1e-5, rtol=0)


def test_edges_are_zeroed_by_the_mask() -> None:
    """Codes outside the utterance may have any value; here they would be clearly audible."""
    codec = case("published")
    frames = random_frames(2)
    (window, *_) = cut(build_cutter(codec.model), frames)
    assert window.first_frame == -3
    changed = window.codes.copy()
    changed[:3] = changed[5] = 4000
    other = Window(
        window.hop,
        changed,
        window.first_frame,
        window.end_frame,
        window.skip,
        window.stop,
        window.start,
    )
    one, two = decode_rows(codec.model, [window, other])[:, window.skip : window.stop]
    np.testing.assert_allclose(one, two, atol=1e-12)


def test_a_window_is_exact_to_its_last_sample_and_not_beyond() -> None:
    """The next frame's codes do not change any returned sample, but do change the following one."""
    codec = case("published")
    reach = codec.model.right_reach
    frames = random_frames(8)
    expected = decode_with_snac(codec.whole, frames)
    changed = decode_with_snac(codec.whole, [*frames[:7], tuple(99 for _ in range(7))])
    assert np.nonzero(expected != changed)[0][0] == 7 * 2048 - reach
    # The same on the other side: a window that read one frame less would be wrong.
    changed = decode_with_snac(codec.whole, [tuple(99 for _ in range(7)), *frames[1:]])
    assert np.nonzero(expected != changed)[0][-1] == 2048 + reach - 1


def test_reach_and_shapes_of_the_published_codec() -> None:
    model = published_shape()
    assert (model.samples_per_frame, model.latents_per_frame, model.num_slots) == (2048, 4, 7)
    assert model.right_reach == 4757
    shapes = {hop: model.shape_for(hop) for hop in HOPS}
    needed = {hop: shape.spans[0].length for hop, shape in shapes.items()}
    assert needed == {1: 23, 2: 27, 4: 35}
    assert all(length <= 4 * hop + 20 for hop, length in needed.items())
    assert {hop: shape.num_frames for hop, shape in shapes.items()} == {1: 6, 2: 7, 4: 9}
    for hop, shape in shapes.items():
        assert shape.samples.length == hop * 2048
        assert shape.samples.end == shape.num_frames * 2048 - 4757


def useful_macs(model: CroppedDecoder, hop: int) -> int:
    """Like `count_macs`, but counts only the products of transposed convolutions that are used."""
    shape = model.shape_for(hop)
    total = 0
    for layer, (before, after) in zip(model._layers, pairwise(shape.spans), strict=True):
        match layer:
            case Transposed():
                total += 2 * layer.late.numel() // layer.stride * after.length
            case LastConv():
                total += layer.taps.shape[0] * layer.num_taps * after.length
            case Conv() | Noise() | Residual():
                total += layer.count_macs(before, after)
    return total


def minimal_macs(model: CroppedDecoder) -> int:
    """Returns the work for one frame of a whole decode, from the sizes of the layers."""
    total = 0
    for layer in model._layers:
        match layer:
            case Transposed():
                positions = model.latents_per_frame * layer.rate // layer.stride
                total += 2 * layer.late.numel() * positions
            case LastConv():
                total += layer.taps.shape[0] * layer.num_taps * model.samples_per_frame
            case Conv() | Noise() | Residual():
                one = Span(0, 1)
                total += layer.count_macs(one, one) * model.latents_per_frame * layer.rate
    return total


def test_the_work_of_a_window_is_close_to_the_minimum() -> None:
    """A cache of every layer's edges would reach the minimum; the reference needs four times it."""
    model = CroppedDecoder(random_codec(SNAC_24KHZ), FRAME_LEVELS)
    least = minimal_macs(model)
    assert round(least / 1e5) == 4140
    useful = {hop: useful_macs(model, hop) / hop / least for hop in HOPS}
    assert useful[1] <= 1.6
    assert useful[2] <= 1.3
    assert useful[4] <= 1.15
    # The first and last strides of a transposed convolution are computed whole and used in part.
    done = {hop: model.count_macs(model.shape_for(hop)) / hop / least for hop in HOPS}
    assert {hop: round(ratio, 3) for hop, ratio in done.items()} == {1: 1.602, 2: 1.301, 4: 1.151}


def count_product_in_place(total: torch.Size, left: torch.Size, right: torch.Size, **_: Any) -> int:
    """Counts `addmm_`, because torch's counter supports only `addmm`."""
    return 2 * left[0] * left[1] * right[1]


@pytest.mark.parametrize("name", ["noise", "dense convolutions"])
def test_counted_macs_are_those_of_the_matrix_products(name: str) -> None:
    """Depthwise taps are element-wise products, which torch's counter leaves out."""
    model = case(name).model
    for hop in HOPS:
        shape = model.shape_for(hop)
        where = torch.zeros(3, dtype=torch.int64)
        codes = torch.zeros(3, shape.num_frames, 7, dtype=torch.int64)
        mapping = {torch.ops.aten.addmm_: count_product_in_place}
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            model(codes, where, where + 100, where, shape, is_edge=True)
        depthwise = 0
        for layer, (_, after) in zip(model._layers, pairwise(shape.spans), strict=True):
            conv = layer.wide if isinstance(layer, Residual) else layer
            if isinstance(conv, Conv) and conv.is_depthwise:
                depthwise += conv.taps.numel() * after.length
        assert (depthwise == 0) is (name == "dense convolutions")
        assert counter.get_total_flops() == 2 * 3 * (model.count_macs(shape) - depthwise)


def mixed_windows(model: CroppedDecoder, hop: int, num_rows: int, codebook: int) -> list[Window]:
    """Returns windows of one hop, every other one at an end of its utterance."""
    inner: list[Window] = []
    edges: list[Window] = []
    lengths = {1: (1, 9), 2: (13, 17), 4: (45, 57)}[hop]
    for seed in range(num_rows):
        frames = random_frames(lengths[seed % 2], codebook, seed=seed)
        for window in cut(build_cutter(model), frames):
            if window.hop == hop:
                (edges if window.is_edge else inner).append(window)
    return [(inner, edges)[index % 2][index // 2] for index in range(num_rows)]


# Two threads wait for each other at every layer, which takes over ten seconds if cores are busy.
@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.slow)])
def num_threads(request: pytest.FixtureRequest) -> Any:
    """Sets torch's number of threads, which determines how a product is split."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("hop", HOPS)
def test_rows_do_not_depend_on_their_batch(num_threads: int, hop: int) -> None:
    """Bit for bit, in batches of 16 and of other sizes, with the bundled codec.

    `LastConv` pads its 7 taps to 8 columns for this. For a product with 7 columns, the kernel and
    its order of additions depend on the number of rows, so a window decoded alone differed in its
    last bits from the same window in a batch.
    """
    model = bundled().model.float()
    windows = mixed_windows(model, hop, 16, 128)
    together = decode_rows(model, windows)
    # Fewer cases with two threads, which are slow if the cores are busy.
    for index in range(16) if num_threads == 1 else (0, 15):
        assert torch.equal(decode_rows(model, [windows[index]])[0], together[index]), index
    for num_rows in (2, 3, 5, 11) if num_threads == 1 else (11,):
        assert torch.equal(decode_rows(model, windows[:num_rows]), together[:num_rows])


@pytest.mark.parametrize("hop", HOPS)
def test_rows_do_not_depend_on_their_batch_at_the_published_width(
    num_threads: int, hop: int
) -> None:
    """With as many windows as the CPU's backend decodes in one call."""
    model = published_shape()
    windows = mixed_windows(model, hop, 16 // hop, 4096)
    together = decode_rows(model, windows)
    for index in (0, 1, 3):
        assert torch.equal(decode_rows(model, [windows[index]])[0], together[index]), index


def test_nan_in_one_row_stays_there() -> None:
    """A broken codebook entry affects only the windows that use it."""
    codec = random_codec(SNAC_NARROW)
    codec.quantizer.quantizers[2].codebook.weight.data[77] = torch.inf
    model = CroppedDecoder(codec, FRAME_LEVELS)
    frames = [tuple(code if code != 77 else 78 for code in row) for row in random_frames(12)]
    windows = [window for window in cut(build_cutter(model), frames) if window.hop == 1]
    clean = decode_rows(model, windows)
    assert clean.isfinite().all()
    windows[3].codes[-2, 2] = 77
    broken = decode_rows(model, windows)
    others = [index for index in range(len(windows)) if index != 3]
    assert broken[3].isnan().any()
    assert torch.equal(broken[others], clean[others])


def test_weight_norm_is_folded_into_the_same_weights() -> None:
    """Recomputing it in each call would add 38 operations per decode."""
    codec = random_codec(SNAC_NARROW | {"noise": False})
    frames = random_frames(3)
    before = decode_with_snac(codec, frames)
    fold_weight_norm(codec.decoder)
    names = [name for name, _ in codec.decoder.named_parameters()]
    assert not [name for name in names if "parametrizations" in name]
    np.testing.assert_allclose(decode_with_snac(codec, frames), before, atol=1e-6)


def test_the_model_has_only_buffers_that_move_with_it() -> None:
    """Any other tensor would stay on the CPU and break a graph capture on CUDA."""
    model = CroppedDecoder(random_codec(SNAC_NARROW), FRAME_LEVELS).to("meta")
    assert list(model.parameters()) == []
    assert {buffer.device.type for buffer in model.buffers()} == {"meta"}
    shape = model.shape_for(1)
    where = torch.zeros(2, dtype=torch.int64, device="meta")
    codes = torch.zeros(2, shape.num_frames, 7, dtype=torch.int64, device="meta")
    samples = model(codes, where, where, where, shape, is_edge=True)
    assert (samples.shape, samples.device.type) == ((2, 2048), "meta")


class RecordOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the names of all operations that torch runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(str(function.overloadpacket))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["noise", "dense convolutions", "four levels"])
def test_a_call_copies_nothing_from_the_host(name: str) -> None:
    """Otherwise no CUDA graph could be captured; a list as an index is a copy to the device."""
    codec = case(name)
    shape = codec.model.shape_for(1)
    where = torch.zeros(2, dtype=torch.int64)
    codes = torch.zeros(2, shape.num_frames, len(codec.levels), dtype=torch.int64)
    with RecordOperations() as seen:
        codec.model(codes, where, where, where, shape, is_edge=True)
    assert "aten.addmm" in seen.names
    forbidden = {"aten.lift_fresh", "aten._local_scalar_dense", "aten.item", "aten.nonzero"}
    assert not seen.names & forbidden


def test_attention_is_rejected() -> None:
    with pytest.raises(ValueError, match="attention"):
        CroppedDecoder(random_codec(SNAC_NARROW | {"attn_window_size": 32}), FRAME_LEVELS)
