"""`make train-stop`: ends the chain after its stage has saved. Standard library only."""

import os
import signal
import time
from collections.abc import Sequence

from training.errors import TrainingError
from training.lock import lock_owner
from training.processes import STOP_SEC
from training.settings import load_settings
from training.stage import run_stage

_POLL_SEC = 0.2


def main(arguments: Sequence[str]) -> None:
    del arguments
    settings = load_settings()
    owner = lock_owner(settings.folder)
    if not owner:
        print(f"nothing is training in {settings.folder}")
        return
    os.kill(owner, signal.SIGTERM)
    print(f"process {owner} is saving …", flush=True)
    end = time.monotonic() + STOP_SEC + 30
    while lock_owner(settings.folder) == owner:
        if time.monotonic() > end:
            raise TrainingError(f"process {owner} has not ended; it can be killed: kill -9 {owner}")
        time.sleep(_POLL_SEC)
    print("stopped")


if __name__ == "__main__":
    run_stage(main)
