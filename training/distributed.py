"""Processes of one thread that average their gradients."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

_TIMEOUT = timedelta(minutes=20)
"""Longer than one process may compile while another one waits for it."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a stage; `rank` is this one."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """True for the process that writes files and progress."""
        return self.rank == 0

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Averages the gradients of all processes, in place. Parameters without one are left."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, torch.split(flat, sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def average(self, tensor: torch.Tensor) -> torch.Tensor:
        """Averages a tensor over the processes, in place, and returns it."""
        if self.size > 1:
            dist.all_reduce(tensor)
            tensor /= self.size
        return tensor

    def broadcast(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replaces a tensor by the first process's, in place, and returns it."""
        if self.size > 1:
            dist.broadcast(tensor, 0)
        return tensor

    def agree(self, value: bool) -> bool:
        """Returns the first process's value, so that all processes stop at the same step."""
        return bool(self.broadcast(torch.tensor([float(value)])).item()) if self.size > 1 else value


def open_world(rank: int, size: int, port: int | None) -> World:
    """Joins the processes of a stage on a port of this host; a single process needs none."""
    if size == 1:
        return World()
    assert port is not None, "processes meet at a port"
    # Gloo binds to the address of the host's name, which may not resolve, unless it is given one.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size, timeout=_TIMEOUT
    )
    return World(rank, size)
