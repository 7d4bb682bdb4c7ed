"""vLLM's worker on a CPU, with fixes; named in the engine's configuration and loaded there."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch._dynamo.aot_compile_types import BundledAOTAutogradSerializableCallable as Compiled
from vllm.utils.cpu_resource_utils import get_memory_affinity
from vllm.v1.worker.cpu_worker import CPUWorker


class CompiledCpuWorker(CPUWorker):
    """A worker that loads a model that it has compiled before, in 2 s instead of 12."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # vLLM binds its memory to a NUMA node, and warns about it. Where the system allows only one
        # node anyway, that has no effect.
        with _without_binding() if len(get_memory_affinity()) == 1 else nullcontext():
            super().__init__(*args, **kwargs)

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        """Loads the model.

        vLLM 0.32 calls `finalize_loading` of every compiled function that it reads, but only its
        own backend has it. The backend for CPUs is torch's, so vLLM would compile at every start.
        """
        if not hasattr(Compiled, "finalize_loading"):
            setattr(Compiled, "finalize_loading", _do_nothing)  # noqa: B010 - unknown to mypy
        super().load_model(*args, **kwargs)


@contextmanager
def _without_binding() -> Iterator[None]:
    """Lets vLLM's worker skip the binding of memory; it has no option for that."""
    operators: Any = torch.ops._C
    original = operators.init_cpu_memory_env
    operators.init_cpu_memory_env = _bind_nothing
    try:
        yield
    finally:
        operators.init_cpu_memory_env = original


def _bind_nothing(nodes: list[int]) -> None:
    """The memory is on these nodes already."""


def _do_nothing(compiled: object, config: object) -> None:
    """torch's functions are complete once they are read."""
