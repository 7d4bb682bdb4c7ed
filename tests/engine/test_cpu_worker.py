"""vLLM's worker on a CPU with this server's fixes, without a model."""

from types import SimpleNamespace
from typing import Any

import pytest


@pytest.mark.engine
@pytest.mark.parametrize(("nodes", "bound"), [([0], []), ([0, 1], [[0]])])
def test_memory_is_bound_to_a_node_only_if_there_is_another(
    monkeypatch: pytest.MonkeyPatch, nodes: list[int], bound: list[list[int]]
) -> None:
    """On machines with one node the binding did nothing but warn at every start."""
    import torch

    from orpheus_server.engine import cpu_worker

    operators: Any = SimpleNamespace(init_cpu_memory_env=lambda nodes: calls.append(nodes))
    original = operators.init_cpu_memory_env
    calls: list[list[int]] = []

    def initialize(worker: object, *args: object) -> None:
        torch.ops._C.init_cpu_memory_env([0])

    monkeypatch.setattr(torch.ops, "_C", operators, raising=False)
    monkeypatch.setattr(cpu_worker.CompiledCpuWorker.__bases__[0], "__init__", initialize)
    monkeypatch.setattr(cpu_worker, "get_memory_affinity", lambda: nodes)
    cpu_worker.CompiledCpuWorker("config")
    assert calls == bound
    assert operators.init_cpu_memory_env is original
