"""A process that has imported vLLM, of which an engine's process on a CPU is a copy.

Importing vLLM takes 6 s, which this process spends while the server imports its own half on another
core. It stays, so an engine that has died is replaced in seconds. The module itself is imported on
every system, the process is started with vLLM only.
"""

import multiprocessing
from multiprocessing import forkserver

from orpheus_server.engine.ctrl_c import ctrl_c_blocked

PRELOADED = (
    "orpheus_server.engine.triton_log",  # first, because the others cause its line
    "orpheus_server.engine.cpu_worker",
    "orpheus_server.engine.slot_mask_v1",
    "vllm.v1.engine.core",
    "vllm.model_executor.models.llama",
)


def start_fork_server() -> None:
    """Starts it without waiting for its imports; later calls do nothing."""
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    with ctrl_c_blocked():
        forkserver.ensure_running()
