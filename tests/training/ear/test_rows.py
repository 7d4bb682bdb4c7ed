from pathlib import Path

from training.ear.rows import append_row, read_rows


def test_reads_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    append_row(path, {"key": "a"})
    append_row(path, {"key": "ü"})
    assert read_rows(path) == [{"key": "a"}, {"key": "ü"}]


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "rows.jsonl") == []


def test_a_line_cut_anywhere_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    append_row(path, {"key": "a"})
    whole = path.stat().st_size
    append_row(path, {"key": "b"})
    for length in range(whole, path.stat().st_size):
        cut = tmp_path / f"{length}.jsonl"
        cut.write_bytes(path.read_bytes()[:length])
        append_row(cut, {"key": "c"})
        rows = [row["key"] for row in read_rows(cut)]
        assert rows in (["a", "c"], ["a", "b", "c"])
