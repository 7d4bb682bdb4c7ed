"""Starts processes as copies of the fork server; needs the packages that come with vLLM."""

import os
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import setproctitle


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
