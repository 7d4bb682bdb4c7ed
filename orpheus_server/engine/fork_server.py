"""A process that has imported vLLM, of which an engine's process on a CPU is a copy.

Importing vLLM takes 6 s, which this process spends while the server imports its own half on another
core. It stays, so an engine that has died is replaced in seconds. The module itself is imported on
every system, the process is started with vLLM only.
"""

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker

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
