"""One real server for all clients, and one whose speech breaks off."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from orpheus_server.chat.echo import EchoModel
from orpheus_server.fakes import ScriptedEngine
from orpheus_server.settings import Settings
from tests.support.app import FakeServer, endless_script
from tests.support.served import ServedFakes
from tests.support.server_process import ServerProcess

KEY = "sk-clients-0123456789abcdef"


@dataclass(frozen=True)
class Address:
    """What a client is configured with."""

    url: str
    key: str = KEY


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A real server with the bundled voice, the echo model and an API key."""
    folder = tmp_path_factory.mktemp("clients")
    with ServerProcess(folder, API_KEYS=f"clients:{KEY}", LLM_MODEL_NAME="echo") as server:
        yield Address(f"http://127.0.0.1:{server.port}/v1")


@pytest.fixture(scope="session")
def failing() -> Iterator[Address]:
    """A server that sends five seconds of each speech and then fails."""
    fakes = FakeServer(
        chat=EchoModel(), settings=Settings(tts_on_failure="error", tts_max_attempts=1)
    )
    fakes.engine = ScriptedEngine(lambda request: endless_script(60))
    with ServedFakes(fakes) as served:
        yield Address(f"{served.url}/v1")
