"""The files of the styles: missing, downloaded, unpacked."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.training.speech.scripted_teacher import speakers
from training.errors import TrainingError
from training.speech import style_files
from training.speech.style_files import (
    NUM_BYTES,
    fetch_styles,
    has_styles,
    require_styles,
    unpack_styles,
)

TARA = [speakers()["tara"]]


def tarball(folder: Path, **files: bytes) -> tuple[Path, str]:
    """Writes a tarball like npm's; returns it and its SHA-256."""
    path = folder / "kokoro-js-1.2.1.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_style_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    assert not has_styles(TARA, tmp_path)
    with pytest.raises(TrainingError) as error:
        require_styles(TARA, tmp_path)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'af_heart.bin'} is missing, the style of tara: run ")
    assert "npm pack kokoro-js@1.2.1" in message
    assert "TRAINING_STYLES_DIR" in message
    assert "\n" not in message


def test_a_cut_style_is_refused(tmp_path: Path) -> None:
    (tmp_path / "af_heart.bin").write_bytes(bytes(NUM_BYTES - 4))
    with pytest.raises(TrainingError, match=r"af_heart\.bin is not a style"):
        require_styles(TARA, tmp_path)


def test_only_styles_are_unpacked(tmp_path: Path) -> None:
    path, sha256 = tarball(
        tmp_path, **{"voices/af_heart.bin": bytes(NUM_BYTES), "README.md": b"text"}
    )
    folder = tmp_path / "styles"
    assert unpack_styles(path, folder, sha256=sha256) == 1
    assert [each.name for each in folder.iterdir()] == ["af_heart.bin"]
    assert has_styles(TARA, folder)
    require_styles(TARA, folder)


def test_another_package_is_not_unpacked(tmp_path: Path) -> None:
    path, _ = tarball(tmp_path, **{"voices/af_heart.bin": b"other"})
    folder = tmp_path / "styles"
    with pytest.raises(TrainingError, match="kokoro-js@1.2.1 has SHA-256 .* instead of"):
        unpack_styles(path, folder, sha256="0" * 64)
    assert not folder.exists()


def test_npm_brings_the_styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sha256 = tarball(tmp_path, **{"voices/af_heart.bin": bytes(NUM_BYTES)})
    monkeypatch.setattr(style_files, "TARBALL_SHA256", sha256)

    def pack(command: tuple[str, ...], *, cwd: str, **_: Any) -> None:
        assert command == ("npm", "pack", "--silent", "kokoro-js@1.2.1")
        (Path(cwd) / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(subprocess, "run", pack)
    assert fetch_styles(tmp_path / "styles") == 1
    assert has_styles(TARA, tmp_path / "styles")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (FileNotFoundError(), "npm is missing: apt-get install npm"),
        (
            subprocess.CalledProcessError(1, "npm", stderr="npm\nnpm error 404\n"),
            "npm pack kokoro-js@1.2.1 failed: npm error 404",
        ),
        (subprocess.TimeoutExpired("npm", 600), "npm pack kokoro-js@1.2.1 took over 600 s"),
    ],
)
def test_a_failed_download_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, message: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(TrainingError) as error:
        fetch_styles(tmp_path)
    assert str(error.value) == message
