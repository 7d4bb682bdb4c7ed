"""Windows to arrays and back, and the CPU's backend. `GraphBackend` needs a GPU."""

import numpy as np
import pytest
import torch

from orpheus_server.audio.snac import backends
from orpheus_server.audio.snac.backends import EagerBackend, crop, to_arrays
from orpheus_server.audio.snac.cropped import CroppedDecoder
from orpheus_server.audio.snac.windows import HOPS, NO_END, Window
from tests.audio.snac.codecs import build_cutter, cut, decode_rows, random_codec, random_frames
from tests.support.shapes import FRAME_LEVELS, SNAC_NARROW


def window(first_frame: int, end_frame: int, *, skip: int = 0, stop: int = 4) -> Window:
    codes = np.full((3, 2), first_frame + 10, dtype=np.int64)
    return Window(1, codes, first_frame, end_frame, skip, stop, 0)


def test_arrays_have_a_row_for_each_window() -> None:
    codes, (first_frames, end_frames, seeds) = to_arrays(
        [window(-3, NO_END), window(5, 6)], [2**63 - 1, 0]
    )
    assert codes.tolist() == [[[7, 7]] * 3, [[15, 15]] * 3]
    assert first_frames.tolist() == [-3, 5]
    assert end_frames.tolist() == [NO_END, 6]
    assert seeds.tolist() == [2**63 - 1, 0]
    assert {array.dtype for array in (codes, first_frames, end_frames, seeds)} == {
        np.dtype(np.int64)
    }


def test_crop_copies_the_needed_samples() -> None:
    """A view would keep the samples of the whole batch in memory. Extra rows are padding."""
    samples = np.arange(12, dtype=np.float32).reshape(3, 4)
    first, second = crop(samples, [window(0, 1, skip=1), window(0, 1, stop=2)])
    assert (first.tolist(), second.tolist()) == ([1, 2, 3], [4, 5])
    assert first.base is None
    assert second.base is None


@pytest.fixture(scope="module")
def model() -> CroppedDecoder:
    return CroppedDecoder(random_codec(SNAC_NARROW), FRAME_LEVELS)


def test_eager_decodes_fewer_frames_per_call_of_a_small_codec(
    model: CroppedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first window of a stream waited for sixteen frames of a file."""
    assert EagerBackend(model).max_windows == {1: 8, 2: 4, 4: 2}
    monkeypatch.setattr(backends, "CACHED_BYTES", 1000)
    assert EagerBackend(model).max_windows == {1: 16, 2: 8, 4: 4}


@pytest.mark.parametrize("hop", HOPS)
def test_eager_returns_what_each_window_needs(model: CroppedDecoder, hop: int) -> None:
    windows = cut(build_cutter(model), random_frames(51))
    windows = [each for each in windows if each.hop == hop]
    seeds = list(range(len(windows)))
    samples = EagerBackend(model).decode(windows, seeds)
    rows = decode_rows(model, windows, seeds)
    assert len(samples) == len(windows)
    for each, row, decoded in zip(windows, rows, samples, strict=True):
        assert decoded.dtype == np.float32
        assert np.array_equal(decoded, row[each.skip : each.stop].numpy())


def test_inner_windows_are_not_masked_and_do_not_depend_on_edges_in_the_batch(
    model: CroppedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = [each for each in cut(build_cutter(model), random_frames(9)) if each.hop == 1]
    inner = [each for each in windows if not each.is_edge]
    edges: list[bool] = []
    forward = model.forward

    def record(*args: object, is_edge: bool) -> torch.Tensor:
        edges.append(is_edge)
        return forward(*args, is_edge=is_edge)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "forward", record)
    backend = EagerBackend(model)
    alone = backend.decode(inner, [0] * len(inner))
    among = backend.decode(windows, [0] * len(windows))
    assert edges == [False, True]
    counterparts = [
        samples for each, samples in zip(windows, among, strict=True) if not each.is_edge
    ]
    for one, two in zip(alone, counterparts, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
