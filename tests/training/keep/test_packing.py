"""Tests of the compact bytes."""

import numpy as np
import pytest

from training.keep.packing import (
    num_bits,
    pack_codes,
    pack_integers,
    pack_json,
    unpack_codes,
    unpack_integers,
    unpack_json,
)


@pytest.mark.parametrize("bits", [1, 7, 8, 10, 11, 12, 16])
@pytest.mark.parametrize("num_codes", [0, 1, 7 * 13])
def test_codes_come_back_exactly(bits: int, num_codes: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 2**bits, num_codes).astype(np.uint16)
    packed = pack_codes(codes, bits)
    assert packed.nbytes == -(-bits * num_codes // 8)
    assert np.array_equal(unpack_codes(packed, bits, num_codes), codes)


def test_codes_are_packed_with_the_highest_bit_first() -> None:
    assert pack_codes(np.array([1, 512], np.uint16), 10).tolist() == [0, 0b01100000, 0]


@pytest.mark.parametrize(("largest", "bits"), [(0, 1), (1, 1), (127, 7), (1023, 10), (1024, 11)])
def test_the_largest_code_decides_the_bits(largest: int, bits: int) -> None:
    assert num_bits(np.array([[0, largest]], np.uint16)) == bits


@pytest.mark.parametrize(
    "values", [[], [0], [-1, 255, 256, -40_000, 2**31 - 1, -(2**31)], list(range(-300, 300))]
)
def test_integers_come_back_exactly(values: list[int]) -> None:
    assert unpack_integers(pack_integers(np.array(values, np.int64))).tolist() == values


def test_an_integer_that_does_not_fit_is_not_packed() -> None:
    with pytest.raises(AssertionError, match="32 bits"):
        pack_integers(np.array([2**31], np.int64))


def test_json_comes_back_exactly() -> None:
    value = {"text": ["“Ja” ˈoʊ\n", ""], "number": [1, -2]}
    assert unpack_json(pack_json(value)) == value
