"""How the end of a chat utterance is counted and logged, before its reply and during it."""

import asyncio
import logging

import pytest

from orpheus_server.errors import ChatModelFailed
from orpheus_server.fakes import ReplyScript
from orpheus_server.settings import Settings
from tests.support.app import wait_for
from tests.support.socket_harness import counts_of, open_socket

pytestmark = pytest.mark.anyio


async def test_failed_before_the_reply(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(tts_max_requests_per_key=1)
    async with open_socket(monkeypatch, settings=settings) as harness:
        with harness.runtime.admission.reserve("127.0.0.1", "interactive"):
            harness.caller.ask("Hello?")
            await harness.caller.until("error")
        assert counts_of(harness.runtime.metrics) == {"failed": 1}
    (line,) = [each for each in caplog.messages if " failed: " in each]
    assert line.startswith("request=")
    assert line.partition(" ")[0].endswith("-0")


async def test_failed_during_the_reply(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    script = ReplyScript(("Well.",), error=ChatModelFailed("lost"))
    async with open_socket(monkeypatch, script) as harness:
        harness.caller.ask("Hello?")
        await harness.caller.until("error")
        assert counts_of(harness.runtime.metrics) == {"failed": 1}
    assert len([each for each in caplog.messages if " failed: lost" in each]) == 1


async def test_caller_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted once, as a reply and as a disconnect."""
    caplog.set_level(logging.INFO, logger="orpheus_server")
    script = ReplyScript(("Well",), gate=asyncio.Event())
    async with open_socket(monkeypatch, script) as harness:
        harness.caller.ask("Hello?")
        await wait_for(lambda: harness.chat.num_active == 1)
        harness.caller.leave()
        await wait_for(lambda: "ended utterances=1" in caplog.text)
        assert counts_of(harness.runtime.metrics) == {"caller_left": 1, "disconnects": 1}
    (line,) = [each for each in caplog.messages if " outcome=" in each]
    assert " outcome=caller_left llm=scripted " in line


async def test_cancelled(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="orpheus_server")
    script = ReplyScript(("Well",), gate=asyncio.Event())
    async with open_socket(monkeypatch, script) as harness:
        harness.caller.ask("Hello?")
        await wait_for(lambda: harness.chat.num_active == 1)
        harness.caller.say("cancel")
        await harness.caller.until("audio.done")
        assert counts_of(harness.runtime.metrics) == {"cancelled": 1}
    (line,) = [each for each in caplog.messages if " outcome=" in each]
    assert " outcome=cancelled llm=scripted " in line
