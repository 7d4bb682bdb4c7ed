"""Clients over the fakes."""

from collections.abc import Iterator

import pytest

from orpheus_server.checkpoints.published import ENGLISH
from tests.support.app import FakeServer
from tests.support.completions import CompletionsClient, chat_model
from tests.support.speech import SpeechClient


@pytest.fixture
def completions() -> Iterator[CompletionsClient]:
    server = FakeServer(chat=chat_model())
    with server.client() as client:
        yield CompletionsClient(server, client)


@pytest.fixture
def speech() -> Iterator[SpeechClient]:
    server = FakeServer()
    with server.client() as client:
        yield SpeechClient(server, client)


@pytest.fixture
def english() -> Iterator[SpeechClient]:
    server = FakeServer(ENGLISH)
    with server.client() as client:
        yield SpeechClient(server, client)
