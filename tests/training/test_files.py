import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.files import (
    delete_partial_files,
    hash_bytes,
    hash_file,
    hash_json,
    read_json,
    write_atomically,
    write_json,
)
from training.settings import ROOT


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"before")
    # The kernel refuses to let the file grow, as on a full disk: the write fails in the middle.
    code = (
        "import resource, signal, sys, pathlib\n"
        "from training.files import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomically(pathlib.Path(sys.argv[1]), bytes(5000))\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", code, str(path)), cwd=ROOT, capture_output=True, text=True
    )
    assert f"TrainingError: cannot write {path}: File too large" in done.stderr
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_no_space_left_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TrainingError) as raised:
        write_atomically(tmp_path / "file", b"data")
    assert str(raised.value) == f"cannot write {tmp_path / 'file'}: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_partial_files_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / ".partial-12-00001.safetensors").touch()
    (tmp_path / "speech" / "00001.safetensors").touch()
    delete_partial_files(tmp_path)
    assert [path.name for path in (tmp_path / "speech").iterdir()] == ["00001.safetensors"]


def test_json_keeps_its_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"symbols": ["ɛ"]})
    assert "ɛ" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"symbols": ["ɛ"]}


@pytest.mark.parametrize(
    ("content", "message"), [('{"a": ', "is not complete JSON"), (None, "No such file")]
)
def test_unreadable_json_is_one_line(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TrainingError, match=message):
        read_json(path)


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_bytes(b"abc") == "ba7816bf8f01cfea"
    assert hash_file(tmp_path / "a") == "ba7816bf8f01cfea"
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 2})
    with pytest.raises(TrainingError, match="cannot read"):
        hash_file(tmp_path / "none")
