"""A process that has imported vLLM, of which an engine's process on a CPU is a copy.

Importing takes 6 s, which this process spends while the server imports its own half on another
core. It stays, so an engine that has died is replaced in seconds.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import setproctitle

PRELOADED = (
    "orpheus_server.engine.cpu_worker",
    "orpheus_server.engine.slot_mask_v1",
    "vllm.v1.engine.core",
    "vllm.model_executor.models.llama",
)


def start_fork_server() -> None:
    """Starts it without waiting for its imports; later calls do nothing."""
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    # Its start would unblock the signal.
    resource_tracker.ensure_running()
    # The fork server inherits the mask: Ctrl-C in a terminal is meant for the server alone.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class EngineContext(ForkServerContext):
    """Copies the fork server, and gives each copy the environment of this process."""

    def Process(  # type: ignore[override]  # noqa: N802 - named by multiprocessing
        self, *, target: Callable[..., object], name: str, kwargs: Mapping[str, Any]
    ) -> ForkServerProcess:
        """Returns a process that has not started."""
        return ForkServerProcess(
            target=_run, name=name, args=(dict(os.environ), target, dict(kwargs))
        )


def _run(
    environment: dict[str, str], target: Callable[..., object], kwargs: dict[str, Any]
) -> None:
    # It finds the place of the title only as long as the environment is where it was; by its title
    # an engine's process is found and killed.
    setproctitle.getproctitle()
    os.environ.update(environment)
    target(**kwargs)
