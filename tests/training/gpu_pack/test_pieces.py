"""Tests of results in a few files."""

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.gpu_pack import pieces
from training.gpu_pack.pieces import MAX_PIECES, PIECE_BYTES, read_pieces, write_pieces

CONTENTS = {"decoder/step-00000001.pt": bytes(range(250)), "empty": b"", "other": b"x" * 99}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of 349 bytes in four files."""
    monkeypatch.setattr(pieces, "PIECE_BYTES", 100)
    assert write_pieces(tmp_path / "results", CONTENTS, {"pack": "7e57"}, max_bytes=1_000)
    return tmp_path / "results"


def test_contents_come_back(results: Path) -> None:
    names = [*(f"piece-{number}.bin" for number in range(1, 5)), "results.json"]
    assert sorted(path.name for path in results.iterdir()) == names
    assert max((results / name).stat().st_size for name in names[:4]) == 100
    assert read_pieces(results) == (CONTENTS, {"pack": "7e57"})


def test_results_replace_the_ones_before(results: Path) -> None:
    assert write_pieces(results, {"a": b"b"}, {}, max_bytes=1_000)
    assert sorted(path.name for path in results.iterdir()) == ["piece-1.bin", "results.json"]
    assert [path.name for path in results.parent.iterdir()] == ["results"]
    assert read_pieces(results) == ({"a": b"b"}, {})


def test_there_are_at_most_eight_files_of_fifteen_megabytes(results: Path) -> None:
    assert (MAX_PIECES + 1, PIECE_BYTES) == (8, 15_000_000)
    before = read_pieces(results)
    assert not write_pieces(results, {"a": b"x" * 701}, {}, max_bytes=1_000)
    assert not write_pieces(results, {"a": b"x" * 301}, {}, max_bytes=300)
    assert read_pieces(results) == before


def test_a_mixture_is_refused(results: Path) -> None:
    (results / "piece-2.bin").write_bytes(b"x" * 100)
    with pytest.raises(TrainingError, match="piece-2.bin is cut or belongs to other results"):
        read_pieces(results)


def test_a_file_of_other_results_is_refused(results: Path) -> None:
    (results / "piece-5.bin").write_bytes(b"x")
    with pytest.raises(TrainingError, match="also holds piece-5.bin, which belongs to other"):
        read_pieces(results)


def test_a_missing_file_is_refused(results: Path) -> None:
    (results / "piece-4.bin").unlink()
    with pytest.raises(TrainingError, match="piece-4.bin is missing: copy all files"):
        read_pieces(results)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"has no results\.json"):
        read_pieces(tmp_path)
