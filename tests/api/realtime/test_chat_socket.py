"""Chat over a real connection: uvicorn, and the `websockets` client."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from orpheus_server.chat.echo import EchoModel
from orpheus_server.fakes import ReplyScript, ScriptedChatModel
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer, held_script, short_script
from tests.support.served import ServedFakes, wait_until

ROOT = Path(__file__).parents[3]
# One chunk of 30 frames: 2.56 s.
SENTENCE = "Abcdefg hijklmno pqrstuv wxyz abcd."

Received = dict[str, Any] | bytes


@pytest.fixture(scope="module")
def echo() -> Iterator[ServedFakes]:
    # It starts before the environment of a test is cleaned, so it must not read the environment.
    server = FakeServer(settings=Settings.model_construct(), chat=EchoModel())
    with ServedFakes(server) as served:
        yield served


def say(connection: ClientConnection, type_: str, **fields: Any) -> None:
    connection.send(json.dumps({"type": type_, **fields}))


def listen(connection: ClientConnection, *types: str) -> list[Received]:
    """Returns all messages up to the first event of these types."""
    received: list[Received] = []
    while True:
        message = connection.recv(WAIT_LIMIT_SEC)
        received.append(message if isinstance(message, bytes) else json.loads(message))
        last = received[-1]
        if isinstance(last, dict) and last["type"] in types:
            return received


def types_of(received: list[Received]) -> list[str]:
    """Returns the types of the messages; equal ones in a row count once."""
    types: list[str] = []
    for message in received:
        type_ = "audio" if isinstance(message, bytes) else message["type"]
        if types[-1:] != [type_]:
            types.append(type_)
    return types


def test_round_trip(echo: ServedFakes) -> None:
    with connect(echo.socket_url) as connection:
        say(connection, "session.start")
        listen(connection, "session.started")
        say(connection, "chat.message", text=SENTENCE)
        received = listen(connection, "audio.done", "error")
    assert types_of(received) == [
        "transcript.delta",
        "transcript.done",
        "audio.start",
        "chunk.start",
        "audio",
        "audio.done",
    ]
    events = [each for each in received if isinstance(each, dict)]
    texts = [each["text"] for each in events if each["type"] == "transcript.delta"]
    assert texts == ["Abcdefg", " hijklmno", " pqrstuv", " wxyz", " abcd."]
    assert events[-1]["num_samples"] == 30 * 2048
    assert sum(len(each) for each in received if isinstance(each, bytes)) == 30 * 4096


def test_barge_in() -> None:
    chat = ScriptedChatModel(ReplyScript(("Yes.",)))
    never = asyncio.Event()
    chat.enqueue(ReplyScript((f"{SENTENCE} And", " more."), gate=never, gate_at=1))
    server = FakeServer(chat=chat)
    server.engine.enqueue(held_script(short_script(30), never, num_free_frames=10))
    with ServedFakes(server) as served, connect(served.socket_url) as connection:
        say(connection, "session.start")
        say(connection, "chat.message", text="Hello?")
        listen(connection, "chunk.start")
        num_samples = 0
        while num_samples < 9 * 2048:
            num_samples += len(connection.recv(WAIT_LIMIT_SEC)) // 2
        say(connection, "chat.message", text="Stop.", played_ms=600)
        received = listen(connection, "audio.done")
        assert received[-2] == {
            "type": "transcript.truncated",
            "utterance": 0,
            "text": "Abcdefg",
        }
        last = received[-1]
        assert isinstance(last, dict)
        assert (last["utterance"], last["is_cancelled"]) == (0, True)
        received = listen(connection, "audio.done", "error")
        assert types_of(received)[-3:] == ["chunk.start", "audio", "audio.done"]
        assert isinstance(received[-1], dict)
        assert (received[-1]["utterance"], received[-1]["is_cancelled"]) == (1, False)
        assert [each.content for each in chat.requests[1].messages[1:]] == [
            "Hello?",
            "Abcdefg",
            "Stop.",
        ]
        assert (server.engine.num_active, server.engine.num_aborted) == (0, 1)
        assert (chat.num_active, chat.num_aborted) == (0, 1)


def test_the_client_disconnects_while_both_models_are_working() -> None:
    chat = ScriptedChatModel(
        ReplyScript((f"{SENTENCE} And", " more."), gate=asyncio.Event(), gate_at=1)
    )
    server = FakeServer(chat=chat)
    server.engine.enqueue(held_script(short_script(30), asyncio.Event()))
    with ServedFakes(server) as served:
        with connect(served.socket_url) as connection:
            say(connection, "session.start")
            say(connection, "chat.message", text="Hello?")
            wait_until(lambda: (chat.num_active, server.engine.num_active) == (1, 1))
        wait_until(lambda: (chat.num_active, server.engine.num_active) == (0, 0))


def test_the_documented_client(echo: ServedFakes) -> None:
    text = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("\n## Chat\n")
    _, _, rest = rest.partition("```python\n")
    code, _, _ = rest.partition("```")
    assert code.count("\n") <= 28
    documented = "ws://127.0.0.1:8880/v1/audio/stream"
    assert documented in code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace(documented, echo.socket_url)],
        capture_output=True,
        timeout=WAIT_LIMIT_SEC,
        check=True,
    )
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("{'type': 'session.started', ")
    written = [each for each in lines if "transcript.done" in each]
    assert "'text': 'Good morning! How are you today?'" in written[0]
    assert "'text': 'Then tell me something, please.'" in written[1]
    ends = [each for each in lines if "audio.done" in each]
    num_samples = sum(int(each.partition("'num_samples': ")[2].split(",")[0]) for each in ends)
    assert (len(ends), num_samples) == (2, len(done.stdout) // 2)
    assert not any("transcript.truncated" in each or "error" in each for each in lines)
