"""What the engines of one process have in common: one is built at a time, and all stop together."""

from collections.abc import Callable
from threading import Lock

from orpheus_server.engine.supervisor import EngineSupervisor
from orpheus_server.errors import StartError
from orpheus_server.interfaces import TokenEngine


class EngineGroup:
    """Two that load at once would measure each other's memory and take each other's processes."""

    def __init__(self) -> None:
        self._building = Lock()
        self._supervisors: list[EngineSupervisor] = []
        self._may_restart = True
        self.language_model: EngineSupervisor | None = None

    def alone(self, build: Callable[[], TokenEngine]) -> Callable[[], TokenEngine]:
        """The same build, which waits for any other one to end; call it from a thread.

        Raises `StartError` once the server ends: nobody would use what is built then.
        """

        def build_alone() -> TokenEngine:
            with self._building:
                if not self._may_restart:
                    raise StartError("the server ends")
                return build()

        return build_alone

    def add(self, supervisor: EngineSupervisor) -> None:
        """One more that stops restarting with the others."""
        self._supervisors.append(supervisor)
        if not self._may_restart:
            supervisor.stop_restarting()

    def stop_restarting(self) -> None:
        """The server ends: an engine that is lost now stays lost."""
        self._may_restart = False
        for supervisor in self._supervisors:
            supervisor.stop_restarting()
