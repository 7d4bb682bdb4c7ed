"""The engines of one process: one is built at a time, and none restarts once the server stops."""

from collections.abc import Callable
from threading import Lock

from orpheus_server.engine.supervisor import EngineSupervisor
from orpheus_server.errors import StartError
from orpheus_server.interfaces import TokenEngine


class EngineGroup:
    """Shared by the supervisors of one process.

    Engines that load at the same time would count each other's memory and processes as their own.
    `may_restart` turns False for good when the server stops: a lost engine then stays lost.
    """

    def __init__(self) -> None:
        self._building = Lock()
        self.may_restart = True
        self.language_model: EngineSupervisor | None = None

    def alone(self, build: Callable[[], TokenEngine]) -> Callable[[], TokenEngine]:
        """Wraps a build so that it waits for any other build to end; call it from a thread.

        It raises `StartError` once the server stops.
        """

        def build_alone() -> TokenEngine:
            with self._building:
                if not self.may_restart:
                    raise StartError("the server is stopping")
                return build()

        return build_alone

    def stop_restarting(self) -> None:
        """Call it when the server stops."""
        self.may_restart = False
