"""Clients over the fakes."""

from collections.abc import Iterator

import pytest

from orpheus_server.checkpoints.published import ENGLISH
from tests.support.app import FakeServer
from tests.support.completions import Talker, chat_model
from tests.support.speech import Speaker


@pytest.fixture
def talker() -> Iterator[Talker]:
    server = FakeServer(chat=chat_model())
    with server.client() as client:
        yield Talker(server, client)


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    server = FakeServer()
    with server.client() as client:
        yield Speaker(server, client)


@pytest.fixture
def english() -> Iterator[Speaker]:
    server = FakeServer(ENGLISH)
    with server.client() as client:
        yield Speaker(server, client)
