"""The `.env` file: its names, and the lines that are wrong."""

from pathlib import Path

import pytest

from orpheus_server.env_file import read_names
from orpheus_server.errors import StartError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def message(path: Path) -> str:
    with pytest.raises(StartError) as caught:
        read_names(path)
    return str(caught.value)


def test_names(path: Path) -> None:
    path.write_bytes(b"# text\n\nPORT=1\r\nexport HOST = '::1' # here\nAPI_KEYS=\"a\nb\"\nBARE\n")
    assert read_names(path) == ["PORT", "HOST", "API_KEYS", "BARE"]


@pytest.mark.parametrize("make", [None, Path.mkdir])
def test_no_file(path: Path, make: object) -> None:
    if callable(make):
        make(path)
    assert read_names(path) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("PORT: 9000", "line 1"),
        ("PORT 9000", "line 1"),
        ("HOST=::1\nplain text\nPORT=1\n", "line 2"),
        ('HOST=::1\n\nPORT="1\n', "line 3"),
        ("API_KEYS: secret\n# text\nHOST='::1\nPORT=1\n", "lines 1, 3"),
    ],
)
def test_malformed_lines_are_numbered(path: Path, text: str, lines: str) -> None:
    """They were skipped with a line of python-dotenv's log, printed twice."""
    path.write_text(text)
    assert message(path) == (
        f"{path}, {lines}: must be NAME=value, a comment that starts with #, or empty. A quote "
        "that is opened must be closed."
    )


@pytest.mark.parametrize(
    ("data", "line"), [(b"PORT=1\nHOST=caf\xe9\n", 2), ("PORT=1".encode("utf-16"), 1)]
)
def test_another_encoding(path: Path, data: bytes, line: int) -> None:
    """The message had the position of the byte instead of the line."""
    path.write_bytes(data)
    assert message(path) == f"{path}, line {line}: not UTF-8. Save the file as UTF-8."


def test_a_file_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("PORT=1\n")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    # root may read everything.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert message(path) == f"{path} cannot be read: Permission denied."
