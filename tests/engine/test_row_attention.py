"""The cache of rows, and attention over rows of different lengths."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from orpheus_server.engine.row_attention import RowCache, attend, bucket_of, row_mask

HEADS, KEY_HEADS, SIZE = 4, 2, 8
MODULE = SimpleNamespace()


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


def exact(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attention of the last query of one row to all its keys, [heads, size]."""
    repeats = HEADS // KEY_HEADS
    return scaled_dot_product_attention(
        query[:, -1:], keys.repeat_interleave(repeats, 0), values.repeat_interleave(repeats, 0)
    )[:, 0]


def test_rows_of_different_lengths_attend_to_their_own_positions() -> None:
    torch.manual_seed(0)
    cache = RowCache(10_000)
    lengths = [3, 70]
    rows: list[tuple[torch.Tensor, torch.Tensor]] = []
    for row, length in enumerate(lengths):
        cache.reserve(row + 1, 100, lengths[:row])
        keys, values = random(1, KEY_HEADS, length, SIZE), random(1, KEY_HEADS, length, SIZE)
        cache.begin_prompt(row)
        given_keys, given_values = cache.update(keys, values, 0)
        query = random(1, HEADS, length, SIZE)
        output, _ = attend(MODULE, query, given_keys, given_values, None, scaling=SIZE**-0.5)
        assert output.shape == (1, length, HEADS, SIZE)
        torch.testing.assert_close(output[0, -1], exact(query[0], keys[0], values[0]))
        rows.append((keys[0], values[0]))
    positions, span = torch.tensor(lengths), bucket_of(max(lengths) + 1)
    cache.begin_step(positions, span)
    keys, values = random(2, KEY_HEADS, 1, SIZE), random(2, KEY_HEADS, 1, SIZE)
    all_keys, all_values = cache.update(keys, values, 0)
    query = random(2, HEADS, 1, SIZE)
    mask = row_mask(positions + 1, span, torch.float32)
    output, _ = attend(MODULE, query, all_keys, all_values, mask, scaling=SIZE**-0.5)
    for row, (before_keys, before_values) in enumerate(rows):
        expected = exact(
            query[row],
            torch.cat([before_keys, keys[row]], dim=1),
            torch.cat([before_values, values[row]], dim=1),
        )
        torch.testing.assert_close(output[row, 0], expected)


def fill(cache: RowCache, row: int, num_rows: int, value: float, lengths: list[int]) -> None:
    cache.reserve(num_rows, 100, lengths)
    cache.begin_prompt(row)
    new = torch.full((1, KEY_HEADS, 5, SIZE), value)
    cache.update(new, new + 0.5, 0)


def stored(cache: RowCache, num_rows: int) -> list[list[float]]:
    """Returns the first six keys of each row; a step that writes zeros at position 6 shows them."""
    cache.begin_step(torch.full((num_rows,), 6), 64)
    zeros = torch.zeros(num_rows, KEY_HEADS, 1, SIZE)
    keys, _ = cache.update(zeros, zeros, 0)
    return [keys[row, 0, :6, 0].tolist() for row in range(num_rows)]


def test_rows_are_kept_while_the_cache_grows_and_moved_when_one_leaves() -> None:
    cache = RowCache(100_000)
    for row in range(3):
        fill(cache, row, row + 1, row + 1.0, [5] * row)
    cache.reserve(3, 5000, [5, 5, 5])
    assert stored(cache, 3) == [[each] * 5 + [0] for each in (1.0, 2.0, 3.0)]
    cache.move(2, 0, 5)
    assert stored(cache, 2) == [[each] * 5 + [0] for each in (3.0, 2.0)]
    cache.clear(1)
    assert stored(cache, 2) == [[3.0] * 5 + [0], [0] * 6]


def test_what_fits() -> None:
    cache = RowCache(1000)
    assert cache.fits(4, 250)
    assert not cache.fits(4, 251)


def test_buckets() -> None:
    assert [bucket_of(each) for each in (1, 64, 65, 200)] == [64, 64, 128, 256]


def test_the_cache_is_as_large_as_its_rows_need() -> None:
    """Doubling may not exceed the limit: then the cache is exactly as large as needed."""
    cache = RowCache(1200)
    fill(cache, 0, 1, 1.0, [])
    cache.reserve(3, 400, [5])
    assert stored(cache, 1) == [[1.0] * 5 + [0]]
    cache.begin_step(torch.tensor([6, 6, 6]), 448)
    zeros = torch.zeros(3, KEY_HEADS, 1, SIZE)
    keys, _ = cache.update(zeros, zeros, 0)
    assert keys.shape == (3, KEY_HEADS, 448, SIZE)


def test_rows_survive_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RowCache(100_000)
    for layer in range(2):
        cache.reserve(1, 100, [])
        cache.begin_prompt(0)
        new = torch.full((1, KEY_HEADS, 5, SIZE), layer + 1.0)
        cache.update(new, new, layer)
    num_copies = 0

    def copy(self: RowCache, source: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        nonlocal num_copies
        num_copies += 1
        if num_copies > 2:
            raise torch.OutOfMemoryError
        return whole_copy(self, source, lengths)

    whole_copy = RowCache._copied
    monkeypatch.setattr(RowCache, "_copied", copy)
    with pytest.raises(torch.OutOfMemoryError):
        cache.reserve(2, 100, [5])
    monkeypatch.undo()
    cache.begin_step(torch.tensor([6]), 64)
    zeros = torch.zeros(1, KEY_HEADS, 1, SIZE)
    for layer in range(2):
        keys, _ = cache.update(zeros, zeros, layer)
        assert keys[0, 0, :6, 0].tolist() == [layer + 1.0] * 5 + [0]
    cache.reserve(2, 100, [5])


def test_the_mask_hides_what_follows() -> None:
    hidden = float("-inf")
    mask = row_mask(torch.tensor([1, 3]), 4, torch.float32)
    assert mask.tolist() == [[[[0.0, hidden, hidden, hidden]]], [[[0.0, 0.0, 0.0, hidden]]]]
