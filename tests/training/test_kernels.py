"""Compiled kernels that a kill cut."""

import _ctypes
from pathlib import Path

import pytest

from training.kernels import delete_cut_kernels

LIBRARY = Path(_ctypes.__file__).read_bytes()


@pytest.mark.parametrize("num_bytes", [0, 20, 64, len(LIBRARY) // 3, len(LIBRARY) - 1])
def test_a_cut_library_is_deleted(tmp_path: Path, num_bytes: int) -> None:
    folder = tmp_path / "ab"
    folder.mkdir()
    (folder / "whole.so").write_bytes(LIBRARY)
    (folder / "cut.so").write_bytes(LIBRARY[:num_bytes])
    delete_cut_kernels(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["whole.so"]


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    delete_cut_kernels(tmp_path / "compiled")
