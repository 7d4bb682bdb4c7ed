"""`deploy/llama-server.sh` with the real llama-server, and options of a recipe that it replaces."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.llama_server import llama_server
from tests.support.pocket_gguf import write_gguf
from tests.support.served import wait_until
from tests.support.server_process import ROOT, free_port

pytestmark = [pytest.mark.llama, pytest.mark.slow]

SCRIPT = ROOT / "deploy" / "llama-server.sh"


def start(*arguments: str, port: int, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(SCRIPT), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "LLAMA_SERVER": str(llama_server()),
                "PORT": str(port),
                **environment,
            },
            stdout=output,
            stderr=output,
        )


def get(port: int, path: str) -> Any:
    """Returns the JSON of a GET, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


@pytest.mark.parametrize(
    ("environment", "more", "num_slots"),
    [({}, (), 4), ({"SLOTS": "2"}, ("--threads", "1"), 2)],
)
def test_each_slot_holds_a_prompt_and_the_longest_chunk(
    tmp_path: Path, environment: dict[str, str], more: tuple[str, ...], num_slots: int
) -> None:
    model = tmp_path / "a model.gguf"
    write_gguf(model)
    port = free_port()
    # The bundled voice has a context of 2,048 tokens, to which a slot would be cut.
    more = (*more, "--override-kv", "llama.context_length=int:8192")
    process = start(str(model), *more, port=port, log=tmp_path / "log", **environment)
    try:
        wait_until(lambda: get(port, "/health") is not None, limit_sec=60, pause_sec=0.05)
        props = get(port, "/props")
        assert props["total_slots"] == num_slots
        assert props["default_generation_settings"]["n_ctx"] == 4608
        assert len(get(port, "/slots")) == num_slots
        # The script is replaced by the server, so a supervisor's signal reaches it.
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_model_is_needed() -> None:
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert "MODEL.gguf" in done.stderr


def help_text() -> str:
    done = subprocess.run([llama_server(), "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def test_every_option_exists_in_this_version() -> None:
    options = set(re.findall(r"--[a-z][a-z-]+", SCRIPT.read_text(encoding="utf-8")))
    known = set(re.findall(r"--[a-z][a-z-]+", help_text()))
    assert {"--parallel", "--ctx-size", "--cont-batching"} <= options
    assert options <= known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--no-mmap",), "invalid argument: --no-mmap"),
        (("--mlock",), "invalid argument: --mlock"),
        (("--flash-attn", "--model"), "unknown value for --flash-attn"),
    ],
)
def test_options_of_the_recipe_that_this_version_refuses(
    options: tuple[str, ...], message: str
) -> None:
    """docs/engines.md says so; a version that takes them again needs another sentence there."""
    done = subprocess.run(
        [llama_server(), *options, "--model", "none.gguf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
