"""llama.cpp's `llama-server`, built once from the source inside `llama-cpp-python`'s package.

Everything is cached outside of the repository. `python -m tests.support.llama_server` prints the
path of the program, and builds it first if it is missing.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE_VERSION = "0.3.36"
CACHE = Path.home() / ".cache" / "orpheus-server" / f"llama-server-{PACKAGE_VERSION}"
PROGRAM = CACHE / "llama-server"

_SOURCE = f"llama_cpp_python-{PACKAGE_VERSION}/vendor/llama.cpp"
_OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_NATIVE": "ON",
    "GGML_CCACHE": "OFF",
    # Neither is needed on 127.0.0.1, and both need the development files of a library.
    "LLAMA_OPENSSL": "OFF",
    "GGML_OPENMP": "OFF",
    # The page would be downloaded.
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
}


def llama_server() -> Path:
    """Returns the path of the program. Building it takes minutes and some 80 MB of download."""
    if not PROGRAM.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="build-") as folder:
            built = _build(Path(folder))
            # A rename, so that the program is there in full or not at all.
            built.rename(PROGRAM)
    return PROGRAM


def _build(folder: Path) -> Path:
    wanted = f"llama-cpp-python=={PACKAGE_VERSION}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "--no-binary=:all:", f"--dest={folder}", wanted])
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as package:
        inside = [member for member in package if member.name.startswith(f"{_SOURCE}/")]
        package.extractall(folder, members=inside, filter="data")
    build = folder / "build"
    options = [f"-D{name}={value}" for name, value in _OPTIONS.items()]
    configure = [_tool("cmake"), "-G", "Ninja", "-S", str(folder / _SOURCE), "-B", str(build)]
    _run([*configure, f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}", *options])
    _run([_tool("cmake"), "--build", str(build), "--target", "llama-server"])
    return build / "bin" / "llama-server"


def _tool(name: str) -> str:
    """Returns the path of a program of this environment, or of the system."""
    own = Path(sys.executable).parent
    found = shutil.which(name, path=f"{own}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found is not None, f"{name} is missing: make test-llama installs it"
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-4000:]


if __name__ == "__main__":
    print(llama_server())
