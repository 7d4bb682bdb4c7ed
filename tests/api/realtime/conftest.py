"""Fixtures: a session with the fake models, in the process or over a real server."""

from collections.abc import Iterator

import pytest

from orpheus_server.settings import Settings
from tests.support.app import FakeServer
from tests.support.realtime import Session, open_session
from tests.support.served import ServedFakes


@pytest.fixture
def session() -> Iterator[Session]:
    with open_session(FakeServer()) as session:
        yield session


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    # It starts before the environment of a test is cleaned, so it must not read the environment.
    with ServedFakes(FakeServer(settings=Settings.model_construct())) as served:
        yield served
