"""The choice of the speech engine, and settings without effect."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orpheus_server.chat.selection import ChatModelConfig
from orpheus_server.errors import StartError
from orpheus_server.interfaces import EngineName
from orpheus_server.runtime.engine_choice import (
    EngineChoice,
    choose_engine,
    completion_urls,
    needs_vllm,
    settings_without_effect,
)
from orpheus_server.settings import load_settings
from tests.support.server_process import ROOT, free_port

URL = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("engine", "url", "has_vllm", "expected"),
    [
        (None, None, True, EngineChoice("vllm")),
        (None, None, False, EngineChoice("transformers", "there is no vLLM")),
        (None, URL, True, EngineChoice("completions", "TTS_COMPLETIONS_URL is set")),
        (None, URL, False, EngineChoice("completions", "TTS_COMPLETIONS_URL is set")),
        ("completions", URL, True, EngineChoice("completions", "TTS_COMPLETIONS_URL is set")),
        ("vllm", None, True, EngineChoice("vllm")),
        ("vllm", URL, True, EngineChoice("vllm")),
        ("transformers", None, True, EngineChoice("transformers", "TTS_ENGINE is set")),
        ("transformers", URL, False, EngineChoice("transformers", "TTS_ENGINE is set")),
    ],
)
def test_which_engine_is_chosen(
    engine: EngineName | None, url: str | None, has_vllm: bool, expected: EngineChoice
) -> None:
    settings = load_settings(tts_engine=engine, tts_completions_url=url)
    assert choose_engine(settings, has_vllm=has_vllm) == expected


def test_vllm_that_is_not_installed() -> None:
    with pytest.raises(StartError) as caught:
        choose_engine(load_settings(tts_engine="vllm"), has_vllm=False)
    assert str(caught.value) == (
        "TTS_ENGINE='vllm': vLLM is not installed. 'make serve' installs it; 'transformers' is "
        "slower and needs nothing more."
    )


def test_completions_without_an_address() -> None:
    with pytest.raises(StartError) as caught:
        choose_engine(load_settings(tts_engine="completions"), has_vllm=True)
    assert str(caught.value) == (
        "TTS_ENGINE='completions': set TTS_COMPLETIONS_URL to the address of a server of "
        "completions, for example http://127.0.0.1:8080."
    )


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        (URL, (URL,)),
        (f"{URL}/", (URL,)),
        (f"{URL}/v1, https://gpu.example ", (f"{URL}/v1", "https://gpu.example")),
    ],
)
def test_addresses(value: str, urls: tuple[str, ...]) -> None:
    assert completion_urls(load_settings(tts_completions_url=value)) == urls


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("127.0.0.1:8080", "TTS_COMPLETIONS_URL='127.0.0.1:8080': it must start with http://"),
        (f"{URL},", "TTS_COMPLETIONS_URL='': it must start with http://"),
        (f"{URL},{URL}/", f"TTS_COMPLETIONS_URL contains {URL} twice."),
        ("http://a:hush@b", "TTS_COMPLETIONS_URL contains a user or password"),
        ("http://b?key=hush", r"TTS_COMPLETIONS_URL=\(hidden\): it must start with"),
    ],
)
def test_invalid_addresses(value: str, message: str) -> None:
    """They are reported at the start, with the setting's name and without a password."""
    with pytest.raises(StartError, match=f"^{message}") as caught:
        choose_engine(load_settings(tts_completions_url=value), has_vllm=True)
    assert "hush" not in str(caught.value)


def test_a_key_that_cannot_be_a_header() -> None:
    settings = load_settings(tts_completions_url=URL, tts_completions_api_key="hush hush")
    with pytest.raises(StartError, match=r"^TTS_COMPLETIONS_API_KEY=\(hidden\): only visible"):
        completion_urls(settings)


@pytest.mark.parametrize(
    ("engine", "chat", "expected"),
    [
        ("vllm", None, True),
        ("transformers", None, False),
        ("completions", ChatModelConfig("remote", "m"), False),
        ("transformers", ChatModelConfig("echo", "echo"), False),
        ("completions", ChatModelConfig("local", "google/gemma-2-2b-it"), True),
    ],
)
def test_what_needs_vllm(engine: EngineName, chat: ChatModelConfig | None, expected: bool) -> None:
    assert needs_vllm(engine, chat) is expected


def test_settings_without_effect() -> None:
    """A setting that another engine has would be ignored without a word."""
    settings = load_settings(
        tts_completions_url=URL,
        tts_device_map="cpu",
        tts_dtype="float16",
        tts_enforce_eager=True,
        tts_tensor_parallel_size=2,
        tts_max_restarts=5,
    )
    assert settings_without_effect(settings, "vllm") == [
        "TTS_COMPLETIONS_URL has no effect with the vllm engine",
        "TTS_DEVICE_MAP has no effect with the vllm engine",
    ]
    assert settings_without_effect(settings, "transformers") == [
        "TTS_COMPLETIONS_URL has no effect with the transformers engine",
        "TTS_ENFORCE_EAGER has no effect with the transformers engine",
        "TTS_TENSOR_PARALLEL_SIZE has no effect with the transformers engine",
    ]
    assert settings_without_effect(settings, "completions") == [
        "TTS_DEVICE_MAP has no effect with the completions engine",
        "TTS_DTYPE has no effect with the completions engine",
        "TTS_ENFORCE_EAGER has no effect with the completions engine",
        "TTS_TENSOR_PARALLEL_SIZE has no effect with the completions engine",
    ]


def test_a_vllm_that_cannot_be_imported_stops_the_start(tmp_path: Path) -> None:
    """With another engine, a GPU server would have become ten times slower without a word."""
    package = tmp_path / "vllm"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libcudart.so.13 is missing')\n")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "orpheus_server.cli", "serve"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "PORT": str(free_port()),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = [each for each in done.stderr.splitlines() if "cannot start" in each]
    assert line.partition(": the server ")[2] == (
        "cannot start: vLLM cannot be imported (libcudart.so.13 is missing). 'make serve' installs "
        "it, or 'pip install --no-deps -r requirements.txt' (requirements-cuda.txt with a GPU)."
    )
    assert "Traceback" not in done.stderr
