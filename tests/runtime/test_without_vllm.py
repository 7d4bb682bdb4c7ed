"""The server in an environment without vLLM, which `make test-transformers` installs."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import read_wav
from tests.support.recognition import pick
from tests.support.server_process import ROOT, ServerProcess, free_port

pytestmark = [pytest.mark.transformers, pytest.mark.slow]

PYTHON = ROOT / ".venv-transformers" / "bin" / "python"

SENTENCES = [
    "The birch canoe slid on the smooth planks.",
    "Rice is often served in round bowls.",
    "The boy was there when the sun rose.",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), python=str(PYTHON)) as server:
        yield server


def test_the_environment_has_no_vllm() -> None:
    code = "import importlib.util as u; print(u.find_spec('vllm'), u.find_spec('accelerate').name)"
    found = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "None accelerate\n"


def test_transformers_is_chosen(server: ServerProcess) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health") as answer:
        described = json.load(answer)["model"]
    assert described.startswith("model pocket, engine transformers, device CPU, ")
    assert described.endswith(", and there is no vLLM")
    log = server.log.read_text()
    assert f"loading {described}" in log
    assert "the model is on cpu" in log
    # With accelerate nothing has to fall back.
    assert "WARNING" not in log


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_heard(server: ServerProcess, sentence: str) -> None:
    body = {"input": sentence, "voice": "rms", "response_format": "wav", "seed": 3}
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/v1/audio/speech",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        samples = read_wav(answer.read())
    assert pick(samples, 24_000, SENTENCES) == sentence


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LLM_MODEL_NAME": "owner/name"}, "a language model in this process needs vLLM"),
        ({"TTS_ENGINE": "vllm"}, "TTS_ENGINE='vllm': vLLM is not installed."),
        ({"TTS_ENGINE": "completions"}, "set TTS_COMPLETIONS_URL to the address"),
    ],
)
def test_what_needs_more_is_refused_in_one_line(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    done = subprocess.run(
        [PYTHON, "-m", "orpheus_server.cli", "serve"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    (line,) = [each for each in done.stderr.splitlines() if message in each]
    assert "Traceback" not in done.stderr
    assert line.startswith("orpheus-server: ")


@pytest.mark.parametrize(
    ("device_map", "message"),
    [("cuda:0", "TTS_DEVICE_MAP=cuda:0"), ("nonsense", "TTS_DEVICE_MAP=nonsense")],
)
def test_a_device_that_is_not_there(tmp_path: Path, device_map: str, message: str) -> None:
    done = subprocess.run(
        [PYTHON, "-m", "orpheus_server.cli", "serve"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PORT": str(free_port()),
            "TTS_DEVICE_MAP": device_map,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"the server cannot start: {message}" in done.stderr
    assert "Traceback" not in done.stderr
