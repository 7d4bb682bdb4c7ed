"""The packages that training needs beside torch, numpy, scipy, einops and huggingface_hub."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from training.errors import TrainingError

SOUNDFILE = "soundfile==0.14.0"
"""Its wheel of 1.3 MB has a libsndfile that decodes Opus; PyAV's has 35 MB."""

PYTHON_VERSION = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")


def requirements(*, has_speech: bool) -> list[str]:
    """Returns the packages in the versions that are installed here.

    All of them have one wheel for Python 3.11 and later: the stable ABI, or none.
    """
    names = ["safetensors", "snac"]
    pinned = [f"{name}=={metadata.version(name)}" for name in names]
    return [*pinned, SOUNDFILE] if has_speech else pinned


def download_wheels(folder: Path, packages: list[str]) -> None:
    """Downloads wheels, without what they depend on. Raises `TrainingError` in one line."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--only-binary=:all:", "--implementation=cp"]
    options += [f"--python-version={PYTHON_VERSION}", *(f"--platform={p}" for p in PLATFORMS)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, *options, f"--dest={folder}", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1] if errors else done.stderr.strip().splitlines()[-1:]
        raise TrainingError(f"pip cannot download {', '.join(packages)}: {reason}")
