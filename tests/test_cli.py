"""The console script and `uvicorn fastapi_app:app`, without loading a model."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orpheus_server import __version__
from orpheus_server.cli import main
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from orpheus_server.server import uvicorn_config
from orpheus_server.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


class TestCli:
    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["--help"])
        assert ended.value.code == 0
        assert "serve" in capsys.readouterr().out

    def test_help_of_serve_shows_defaults_and_fits_a_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It had no defaults, and did not say that there are settings."""
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as ended:
            main(["serve", "--help"])
        assert ended.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        assert "  --host HOST  address to listen on (setting HOST, default 127.0.0.1)" in lines
        assert "  --port PORT  port to listen on (setting PORT, default 8880)" in lines
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80
        named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", "\n".join(lines)))
        assert named == {"TTS_MODEL_NAME", "TTS_ENGINE", "LLM_MODEL_NAME", "API_KEYS"}
        assert named <= {name.upper() for name in Settings.model_fields}

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["--version"])
        assert ended.value.code == 0
        assert capsys.readouterr().out == f"{__version__}\n"

    @pytest.mark.parametrize("arguments", [[], ["sing"], ["serve", "--workers", "4"]])
    def test_unknown_commands(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "usage: orpheus-server" in capsys.readouterr().err

    @pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
    def test_a_bad_port(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        port: str,
    ) -> None:
        monkeypatch.setenv("PORT", port)
        assert main(["serve"]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == "orpheus-server: Bad settings:"
        assert lines[1].startswith(f"  PORT={port!r}: must be ")
        assert len(lines) == 2

    def test_a_bad_port_as_an_argument(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["serve", "--port=http"]) == 2
        assert "PORT='http': must be " in capsys.readouterr().err

    def test_a_bad_model(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TTS_MODEL_NAME", "/no/such")
        assert main(["serve"]) == 2
        assert "TTS_MODEL_NAME='/no/such': there is no folder /no/such." in capsys.readouterr().err

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "tts.example", "127.0.0.1.evil"])
    def test_a_public_host_without_keys_is_rejected(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
    ) -> None:
        """The server was open to everyone on the network, without a warning."""
        monkeypatch.setattr("socket.getaddrinfo", lambda *_: [])
        assert main(["serve", f"--host={host}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"orpheus-server: HOST={host!r} can be reached from other machines.")
        assert "API_KEYS" in line
        assert "ALLOW_UNAUTHENTICATED=true" in line

    def test_a_host_that_does_not_exist(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It was said to be reachable from other machines."""
        assert main(["serve", "--host=http://127.0.0.1"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("orpheus-server: HOST='http://127.0.0.1': this name is unknown")

    def test_a_port_in_use(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit status was 3, and the log line did not name the port."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            assert main(["serve", f"--port={port}"]) == 2
        assert f"orpheus-server: PORT={port}: process " in capsys.readouterr().err

    def test_ctrl_c_before_the_server_runs(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It printed a traceback of up to 75 lines."""

        def interrupt(settings: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(uvicorn_config, "check_address", interrupt)
        assert main(["serve"]) == 130
        assert capsys.readouterr() == ("", "")

    def test_only_main_imports_what_takes_long(self, tmp_path: Path) -> None:
        """While a module is imported, nothing catches Ctrl-C."""
        code = (
            "import sys, orpheus_server.cli\n"
            "print(sorted({'pydantic', 'fastapi', 'uvicorn', 'numpy'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "[]\n"

    def test_a_bad_key_is_not_printed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("API_KEYS", "anna:SECRET-1,SECRET")
        assert main(["serve"]) == 2
        assert capsys.readouterr() == (
            "",
            "orpheus-server: API_KEYS=(hidden), entry 2: a key has at least 8 characters, this "
            "one 6.\n",
        )


class TestEntry:
    """`uvicorn fastapi_app:app`; each test uses a separate process."""

    def run(self, code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        # Only what Python needs: settings of this machine must not affect the test.
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=folder,
            env={**kept, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_the_import_loads_no_model_library(self, tmp_path: Path) -> None:
        """Importing torch and vLLM takes ten seconds, during which the port would not answer."""
        code = (
            "import sys, fastapi_app\n"
            "heavy = {'torch', 'vllm', 'snac', 'gruut', 'transformers'} & set(sys.modules)\n"
            "print(type(fastapi_app.app).__name__, sorted(heavy))"
        )
        done = self.run(code, tmp_path)
        assert (done.stdout, done.stderr, done.returncode) == ("FastAPI []\n", "", 0)

    def test_bad_settings_are_one_clear_message(self, tmp_path: Path) -> None:
        done = self.run("import fastapi_app", tmp_path, TTS_MODEL_NAME="/no/such")
        assert done.returncode == 1
        assert done.stderr.startswith("TTS_MODEL_NAME='/no/such': there is no folder /no/such.")
        assert "Traceback" not in done.stderr


@pytest.mark.engine
def test_a_model_without_weights_ends_the_server(tmp_path: Path) -> None:
    """The server kept running and reported "starting" forever."""
    shutil.copy(POCKET_FOLDER / "speech.json", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "orpheus_server.cli", "serve", "--port", "8898"],
        env=os.environ | {"TTS_MODEL_NAME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"cannot start: '{tmp_path / 'codec'}': there is no folder" in done.stderr
