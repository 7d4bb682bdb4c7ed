"""How a real server with a voice and a language model starts and ends."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.callers import is_speech, pcm
from tests.faults.chat_callers import (
    LONG,
    QUESTION,
    WAYS,
    ChatServer,
    is_well,
    local_model,
    summary,
)
from tests.faults.rows import Row
from tests.faults.test_lifecycle import UnreadyServer, of_session, rest_of
from tests.faults.test_sockets import session
from tests.support.served import wait_until
from tests.support.server_process import ServerProcess

pytestmark = [pytest.mark.engine, pytest.mark.slow]


class UnreadyChatServer(UnreadyServer, ChatServer):
    """Can be used while it is still loading."""

    def wait_for_voice(self) -> None:
        """Waits for the cores of both engines; the language model is then still loading."""
        wait_until(lambda: len(self.cores()) == 2, limit_sec=120, pause_sec=0.05)


def end_of(server: ChatServer) -> str:
    """Waits for the server to exit with status 0 and without leftover processes; describes it."""
    started = time.monotonic()
    status = server.process.wait(100)
    wait_until(lambda: not of_session(server.process.pid), limit_sec=10)
    assert status == 0
    return f"exit status {status} after {time.monotonic() - started:.1f} s, no process left"


def test_requests_while_it_loads_and_sigterm_under_load(
    tmp_path: Path, tiny_gemma: Path, rows: list[Row]
) -> None:
    with UnreadyChatServer(tmp_path, **local_model(tiny_gemma)) as server:
        server.wait_for_voice()
        spoken, requested = server.ask(), server.reply("chat text")
        assert spoken.summary == "200"
        assert (requested.status, requested.error["code"]) == (503, "engine_unavailable")
        assert server.status("/ready")[0] == 503
        seen = f"speech {spoken.summary}, chat {requested.summary}, /ready 503"
        rows.append(Row("33 load", "requests while the language model loads", seen))
        ServerProcess.wait_ready(server)
        drain(server, rows)


def drain(server: ChatServer, rows: list[Row]) -> None:
    """Sends SIGTERM with chats in flight, which must all be completed."""
    with ThreadPoolExecutor(len(WAYS)) as callers, session(server) as socket:
        held = {way: callers.submit(server.reply, way, max_tokens=40, **LONG) for way in WAYS}
        ask = {"type": "chat.message", "text": QUESTION, "max_tokens": 40, **LONG}
        socket.send(json.dumps(ask))
        while not isinstance(socket.recv(timeout=30), bytes):
            pass
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.status("/ready")[0] == 503, limit_sec=5)
        refused = server.reply("chat text")
        assert (refused.status, refused.error["code"]) == (503, "shutting_down")
        found, sound, code = rest_of(socket)
        answers = {way: future.result() for way, future in held.items()}
        ended = end_of(server)
    kinds = [event["type"] for event in found if event["type"] != "chunk.start"]
    seen = f"{len(answers)} whole; a new one {refused.summary}; "
    seen += f"WebSocket {kinds[-2:]}, closed with {code}; {ended}"
    rows.append(Row("33 drain", "SIGTERM with seven chats in flight", seen))
    for way, answer in answers.items():
        assert is_well(way, answer), (way, summary(answer))
    assert is_speech(pcm(sound), 2, 60)
    assert (kinds[-2:], code) == (["audio.done", "error"], 1001)


def test_sigterm_while_the_language_model_loads(
    tmp_path: Path, tiny_gemma: Path, rows: list[Row]
) -> None:
    with UnreadyChatServer(tmp_path, **local_model(tiny_gemma)) as server:
        server.wait_for_voice()
        server.process.send_signal(signal.SIGTERM)
        rows.append(Row("33 SIGTERM", "SIGTERM while the language model loads", end_of(server)))
        assert "Traceback" not in server.log.read_text()
