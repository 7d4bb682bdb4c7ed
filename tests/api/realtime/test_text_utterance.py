"""How the end of a text utterance is counted and logged."""

import asyncio
import logging

import pytest

from orpheus_server.errors import GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.settings import Settings
from tests.support.app import held_script, short_script, wait_for
from tests.support.socket_stage import SocketStage, counts_of, open_socket

pytestmark = pytest.mark.anyio

SENTENCE = "Abcdefg hijklmno pqrstuv wxyz abcd."


async def hold_one_of_two(stage: SocketStage) -> None:
    """Two utterances, the first of which is being spoken."""
    stage.engine.enqueue(held_script(short_script(30), asyncio.Event(), num_free_frames=10))
    for _ in range(2):
        stage.caller.say("text.delta", text=SENTENCE)
        stage.caller.say("text.done")
    await stage.caller.until("chunk.start")


async def test_cancelled(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An utterance that was still waiting is not counted."""
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch) as stage:
        await hold_one_of_two(stage)
        stage.caller.say("cancel")
        for _ in range(2):
            await stage.caller.until("audio.done")
        assert counts_of(stage.runtime.metrics) == {"cancelled": 1}
    assert not any("request=" in each for each in caplog.messages)


async def test_caller_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch) as stage:
        await hold_one_of_two(stage)
        stage.caller.leave()
        await wait_for(lambda: "ended utterances=2" in caplog.text)
        assert counts_of(stage.runtime.metrics) == {"cancelled": 1, "disconnects": 1}
    assert not any("request=" in each for each in caplog.messages)


async def test_caller_left_an_utterance_that_waits_for_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch) as stage:
        stage.caller.say("text.delta", text="Hel")
        stage.caller.leave()
        await wait_for(lambda: "ended utterances=1" in caplog.text)
        assert counts_of(stage.runtime.metrics)["disconnects"] == 1


async def test_caller_left_between_utterances(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch) as stage:
        stage.caller.say("text.delta", text="Hello you.")
        stage.caller.say("text.done")
        await stage.caller.until("audio.done")
        stage.caller.leave()
        await wait_for(lambda: "ended utterances=1" in caplog.text)
        assert counts_of(stage.runtime.metrics) == {"done": 1}


async def test_failed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(tts_on_failure="error", tts_max_attempts=1)
    async with open_socket(monkeypatch, settings=settings) as stage:
        stage.engine.enqueue(Script((), error=GenerationFailed("lost")))
        stage.caller.say("text.delta", text=SENTENCE)
        stage.caller.say("text.done")
        await stage.caller.until("error")
        assert counts_of(stage.runtime.metrics) == {"failed": 1}
    (line,) = [each for each in caplog.messages if each.startswith("request=")]
    assert line.partition(" ")[0].endswith("-0")
    assert " failed: " in line
