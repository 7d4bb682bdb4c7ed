"""Programs with real clients, each run by the Python or Node that has the client installed."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.speech import decode

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "clients"
LOCKED, NEWEST = sys.executable, str(ROOT / ".venv-clients" / "bin" / "python")
"""The Python of the server's lock, and the one of `requirements-clients.txt`."""

NODE_PACKAGES = ("package.json", "package-lock.json")
LIMIT_SEC = 600.0

SENTENCE = "The quick brown fox jumps over the lazy dog."
PARAGRAPH = f"{SENTENCE} Then it sleeps in the warm sun until noon. Nobody dares to wake it."
NO_WORDS = "..."
SILENCE_SEC = 0.2
"""The length of an answer to a text with nothing to say."""

SAMPLE_RATE = 24_000


def run_python(name: str, *arguments: str, python: str = NEWEST) -> dict[str, Any]:
    """Runs `python/NAME.py` and returns the object that it prints last."""
    program = PROGRAMS / "python" / f"{name}.py"
    return _last_object(_run([python, str(program), *arguments], program.parent))


def run_node(name: str, *arguments: str) -> dict[str, Any]:
    """Runs `node/NAME.mjs` and returns the object that it prints last."""
    program = str(shutil.copy(PROGRAMS / "node" / f"{name}.mjs", _node_folder()))
    return _last_object(_run(["node", program, *arguments], _node_folder()))


def run_source(language: str, source: str, folder: Path) -> str:
    """Runs a program in a folder, and returns what it prints."""
    if language == "python":
        return _run([NEWEST, "-c", source], folder)
    # Node looks for packages in the folder of the program.
    (folder / "node_modules").symlink_to(_node_folder() / "node_modules")
    (folder / "program.mjs").write_text(source, encoding="utf-8")
    return _run(["node", "program.mjs"], folder)


def is_installed(package: str) -> bool:
    """Whether the environment of the clients has a package, which not every Python can have."""
    found = [NEWEST, "-c", f"import importlib.metadata as m; m.version({package!r})"]
    return subprocess.run(found, capture_output=True, check=False).returncode == 0


def _run(command: list[str], folder: Path) -> str:
    # A setting of the developer's own must not reach the clients.
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SEC,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def _last_object(printed: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return result


@cache
def _node_folder() -> Path:
    """Returns a folder with the packages of `node/package-lock.json`, installed once.

    It is outside of the repository, under ~/.cache, and named after the lock.
    """
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    lock = (PROGRAMS / "node" / "package-lock.json").read_bytes()
    name = f"clients-node-{hashlib.sha256(lock).hexdigest()[:12]}"
    folder = Path.home() / ".cache" / "orpheus-server" / name
    if not (folder / "node_modules" / ".package-lock.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for each in NODE_PACKAGES:
            shutil.copy(PROGRAMS / "node" / each, folder)
        install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    return folder


def samples_of(spoken: dict[str, Any], name: str) -> npt.NDArray[np.int16]:
    """Returns the samples of the audio that a program printed; `name` is its format."""
    assert spoken.get("error") is None, spoken["error"]
    return decode(name, base64.b64decode(spoken["audio"], validate=True))


def check_speech(samples: npt.NDArray[np.int16], text: str) -> None:
    """Asserts that samples last as long as the text takes to say, and are not silence."""
    num_letters = sum(map(str.isalpha, text))
    assert 0.05 * num_letters < len(samples) / SAMPLE_RATE < 0.13 * num_letters
    # Speech is loud for most of its time; steps of 50 ms.
    steps = samples[: len(samples) // 1200 * 1200].reshape(-1, 1200).astype(np.float64)
    loud = np.sqrt((steps**2).mean(axis=1)) > 300
    assert loud.mean() > 0.5


def check_silence(samples: npt.NDArray[np.int16], *, slack_sec: float = 0.0) -> None:
    """Asserts that samples are the silence of a text with nothing to say."""
    assert abs(len(samples) / SAMPLE_RATE - SILENCE_SEC) <= slack_sec
    assert np.abs(samples.astype(np.int32)).max(initial=0) <= 1


def check_texts(spoken: list[dict[str, Any]], name: str, *, slack_sec: float = 0.0) -> None:
    """Asserts that `SENTENCE` became speech, and `NO_WORDS` silence.

    Encoders of MP3 add up to two frames, so decoded files may be longer.
    """
    sentence, no_words = spoken
    check_speech(samples_of(sentence, name), SENTENCE)
    check_silence(samples_of(no_words, name), slack_sec=slack_sec)
