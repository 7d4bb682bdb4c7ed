"""How the end of a text utterance is counted and logged."""

import asyncio
import logging

import pytest

from orpheus_server.errors import GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.settings import Settings
from tests.support.app import held_script, short_script, wait_for
from tests.support.socket_harness import SocketHarness, counts_of, open_socket

pytestmark = pytest.mark.anyio

SENTENCE = "Abcdefg hijklmno pqrstuv wxyz abcd."


async def hold_one_of_two(harness: SocketHarness) -> None:
    """Two utterances, the first of which is being spoken."""
    harness.engine.enqueue(held_script(short_script(30), asyncio.Event(), num_free_frames=10))
    for _ in range(2):
        harness.caller.say("text.delta", text=SENTENCE)
        harness.caller.say("text.done")
    await harness.caller.until("chunk.start")


async def test_cancelled(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An utterance that was still waiting is not counted."""
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch) as harness:
        await hold_one_of_two(harness)
        harness.caller.say("cancel")
        for _ in range(2):
            await harness.caller.until("audio.done")
        assert counts_of(harness.runtime.metrics) == {"cancelled": 1}
    assert not any("request=" in each for each in caplog.messages)


async def test_caller_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch) as harness:
        await hold_one_of_two(harness)
        harness.caller.leave()
        await wait_for(lambda: "ended utterances=2" in caplog.text)
        assert counts_of(harness.runtime.metrics) == {"cancelled": 1, "disconnects": 1}
    assert not any("request=" in each for each in caplog.messages)


async def test_caller_left_an_utterance_that_waits_for_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch) as harness:
        harness.caller.say("text.delta", text="Hel")
        harness.caller.leave()
        await wait_for(lambda: "ended utterances=1" in caplog.text)
        assert counts_of(harness.runtime.metrics)["disconnects"] == 1


async def test_caller_left_between_utterances(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch) as harness:
        harness.caller.say("text.delta", text="Hello you.")
        harness.caller.say("text.done")
        await harness.caller.until("audio.done")
        harness.caller.leave()
        await wait_for(lambda: "ended utterances=1" in caplog.text)
        assert counts_of(harness.runtime.metrics) == {"done": 1}


async def test_failed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(tts_on_failure="error", tts_max_attempts=1)
    async with open_socket(monkeypatch, settings=settings) as harness:
        harness.engine.enqueue(Script((), error=GenerationFailed("lost")))
        harness.caller.say("text.delta", text=SENTENCE)
        harness.caller.say("text.done")
        await harness.caller.until("error")
        assert counts_of(harness.runtime.metrics) == {"failed": 1}
    (line,) = [each for each in caplog.messages if each.startswith("request=")]
    assert line.partition(" ")[0].endswith("-0")
    assert " failed: " in line
