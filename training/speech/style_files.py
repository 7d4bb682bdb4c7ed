"""Files of the teacher's styles: which are needed, and how they come. Standard library only."""

import hashlib
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from training.errors import TrainingError
from training.files import write_atomically
from training.speech.speakers import Speaker

PACKAGE = "kokoro-js@1.2.1"
TARBALL_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
DOWNLOAD_TIMEOUT_SEC = 600
FETCH_COMMAND = ".venv-training/bin/python -m training.speech styles"

NUM_BYTES = 510 * 256 * 4
"""Of a style: 510 rows of 256 float32."""


def style_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.bin"


def require_styles(speakers: Iterable[Speaker], folder: Path) -> None:
    """Raises `TrainingError`, with the command that brings it, if a speaker's style is missing."""
    for speaker in speakers:
        for name in sorted(speaker.styles):
            path = style_path(folder, name)
            if not path.is_file():
                raise TrainingError(
                    f"{path} is missing, the style of {speaker.name}: run `{FETCH_COMMAND}` "
                    f"(npm pack {PACKAGE}), or set TRAINING_STYLES_DIR to a folder with its "
                    "package/voices/*.bin"
                )
            if path.stat().st_size != NUM_BYTES:
                raise TrainingError(f"{path} is not a style: it has not {NUM_BYTES} bytes")


def has_styles(speakers: Iterable[Speaker], folder: Path) -> bool:
    """Whether every style that the speakers use is there."""
    names = {name for speaker in speakers for name in speaker.styles}
    return all(style_path(folder, name).is_file() for name in names)


def fetch_styles(folder: Path) -> int:
    """Downloads the styles with npm into `folder`. Returns how many there are."""
    with tempfile.TemporaryDirectory() as temporary:
        command = ("npm", "pack", "--silent", PACKAGE)
        try:
            subprocess.run(
                command,
                cwd=temporary,
                check=True,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_TIMEOUT_SEC,
            )
        except FileNotFoundError as error:
            raise TrainingError("npm is missing: apt-get install npm") from error
        except subprocess.TimeoutExpired as error:
            raise TrainingError(f"npm pack {PACKAGE} took over {DOWNLOAD_TIMEOUT_SEC} s") from error
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise TrainingError(f"npm pack {PACKAGE} failed: {reason}") from error
        tarballs = list(Path(temporary).glob("*.tgz"))
        if len(tarballs) != 1:
            raise TrainingError(f"npm pack {PACKAGE} wrote {len(tarballs)} files instead of one")
        return unpack_styles(tarballs[0], folder, sha256=TARBALL_SHA256)


def unpack_styles(tarball: Path, folder: Path, *, sha256: str) -> int:
    """Unpacks `package/voices/*.bin`. Raises `TrainingError` if the tarball is another one."""
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if found != sha256:
        raise TrainingError(f"{PACKAGE} has SHA-256 {found} instead of {sha256}: not unpacked")
    num_styles = 0
    with tarfile.open(tarball) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None and path.match("package/voices/*.bin"):
                write_atomically(folder / path.name, content.read())
                num_styles += 1
    return num_styles
