"""A server with fakes, and its client."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.support.app import FakeServer


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def client(server: FakeServer) -> Iterator[TestClient]:
    with server.client() as client:
        yield client
