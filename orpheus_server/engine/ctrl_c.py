"""Keeps Ctrl-C from the processes of engines: a terminal sends it to all of them at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def ctrl_c_blocked() -> Iterator[None]:
    """Processes that this thread starts meanwhile do not get Ctrl-C; the server ends them itself.

    They would print tracebacks. Only for systems with POSIX signals.
    """
    # Its start would unblock the signal.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
