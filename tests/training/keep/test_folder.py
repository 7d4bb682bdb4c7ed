"""Tests of the size of the kept folder."""

import pytest

from training.errors import TrainingError
from training.files import write_atomically
from training.keep.folder import MAX_TOTAL_BYTES, KeptFolder


def test_twenty_five_megabytes_are_kept_and_no_more(kept: KeptFolder) -> None:
    assert MAX_TOTAL_BYTES == 25_000_000
    write_atomically(kept.parts / "00000.safetensors", b"x" * 1_000)
    kept.check_space(MAX_TOTAL_BYTES - 1_000)
    with pytest.raises(TrainingError, match=r"would have 25\.0 MB: at most 25 MB are kept"):
        kept.check_space(MAX_TOTAL_BYTES - 999)
