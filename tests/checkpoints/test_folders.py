"""Folders of models, and the clause for those that are missing."""

from pathlib import Path

import pytest

from orpheus_server.checkpoints.folders import to_folder, what_is_missing


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/srv/voice", "/srv/voice"),
        ("~/voice", "{cwd}/home/voice"),
        ("./voice", "{cwd}/voice"),
        ("voices/anna", "{cwd}/voices/anna"),
        ("voice", "{cwd}/voice"),
    ],
)
def test_a_missing_folder_is_named_in_full(tmp_path: Path, source: str, path: str) -> None:
    expected = path.format(cwd=tmp_path)
    assert what_is_missing(source) == f"there is no folder {expected}"
    assert to_folder(source).absolute() == Path(expected)


def test_a_file(tmp_path: Path) -> None:
    Path("model.gguf").touch()
    assert what_is_missing("model.gguf") == f"{tmp_path / 'model.gguf'} is a file, not a folder"
