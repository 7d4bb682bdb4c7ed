"""Chats while the server of a remote language model is slow, fails, rejects requests or dies."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.callers import is_speech, pcm
from tests.faults.chat_callers import (
    CHAT_LIMITS,
    TIMEOUT_SEC,
    WAYS,
    ChatCase,
    ChatServer,
    converse,
    error_event,
    is_well,
    summary,
)
from tests.faults.conftest import warm
from tests.faults.fault_llm import LlmProcess
from tests.faults.fault_server import SECRET_WORD
from tests.faults.rows import Row
from tests.faults.test_sockets import session

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def question(manner: str) -> str:
    """Returns a question that the model's server answers in this manner."""
    return f"Answer the {SECRET_WORD} fox {manner}"


class RemoteServer(ChatServer):
    """A server whose model answers correctly by default."""

    def reply(self, way: str, text: str = question("soundly"), **fields: Any) -> Any:
        """Sends a question in one of `WAYS` and reads the whole answer."""
        return super().reply(way, text, **fields)


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmProcess]:
    with LlmProcess() as llm:
        yield llm


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, llm: LlmProcess) -> Iterator[RemoteServer]:
    settings = {**CHAT_LIMITS, "LLM_MODEL_NAME": "m", "LLM_BASE_URL": llm.url}
    with RemoteServer(tmp_path_factory.mktemp("remote"), **settings) as server:
        warm(server, num_requests=14)
        with ThreadPoolExecutor(8) as callers:
            replies = [callers.submit(server.reply, way) for way in [*WAYS] * 4]
            assert {each.result().status for each in replies} == {200}
        with session(server) as socket:
            converse(socket, question("soundly"))
        server.base = server.held()
        yield server


# The answer by manner: an error before the first byte, or, after three sentences, a body that is
# cut off or an error event with this code.
REFUSED: dict[str, tuple[int, str]] = {
    "never": (504, "timeout"),
    "broken": (502, "llm_failed"),
    "full": (503, "llm_unavailable"),
    "forbidden": (502, "llm_failed"),
    "nothing": (502, "llm_failed"),
    "garbage": (502, "llm_failed"),
}
BROKEN_OFF = {"halfway": "timeout", "cut": "llm_failed", "error": "llm_failed"}


def check_broken_off(server: RemoteServer, case: ChatCase, manner: str, code: str) -> None:
    """Complete sentences are spoken; then the client learns that the answer is incomplete."""
    with ThreadPoolExecutor(len(WAYS)) as callers:
        held = {way: callers.submit(server.reply, way, question(manner)) for way in WAYS}
        for way, future in held.items():
            answer = future.result()
            case.saw(f"{manner}: {summary(answer)}")
            if "events" in way:
                assert error_event(answer)["code"] == code, (manner, way)
            elif "completion" in way:
                assert answer.error["code"] == code, (manner, way)
            else:
                assert (answer.status, answer.is_whole) == (200, False), (manner, way)
            if way == "chat":
                assert is_speech(pcm(answer.body), 1.5, 20)
    with session(server) as socket:
        found, num_bytes = converse(socket, question(manner))
    assert [event["type"] for event in found[-2:]] == ["transcript.truncated", "error"]
    assert found[-1]["error"]["code"] == code
    assert num_bytes > 50_000


def test_a_remote_model_that_breaks(remote: RemoteServer, rows: list[Row]) -> None:
    done = f"a remote model in {len(REFUSED) + len(BROKEN_OFF) + 2} ways, {len(WAYS)} ways of chat"
    with ChatCase(rows, remote, "34", done) as case:
        slow = remote.reply("chat", question("slowly"))
        case.note(f"slow: first sound {slow.first_sec:.2f} s, whole {slow.total_sec:.2f} s")
        assert is_well("chat", slow)
        assert slow.first_sec < slow.total_sec / 2
        silent = remote.reply("chat", question("silence"))
        case.saw(f"silence: {silent.summary}")
        assert (silent.status, silent.body) == (200, bytes(9600))
        assert silent.headers["x-orpheus-nothing-to-speak"] == "true"
        for manner, (status, code) in REFUSED.items():
            with ThreadPoolExecutor(len(WAYS)) as callers:
                held = {way: callers.submit(remote.reply, way, question(manner)) for way in WAYS}
            for way, future in held.items():
                answer = future.result()
                case.saw(f"{manner}: {summary(answer)}")
                assert (answer.status, answer.error["code"]) == (status, code), (manner, way)
                assert answer.total_sec < TIMEOUT_SEC + 2
                if manner == "full":
                    assert answer.headers["retry-after"] == "7"
        for manner, code in BROKEN_OFF.items():
            check_broken_off(remote, case, manner, code)


def test_a_remote_model_that_is_killed(
    remote: RemoteServer, llm: LlmProcess, rows: list[Row]
) -> None:
    done = "kill -9 of the remote model's server, 6 chats in flight, then none there, then again"
    with ChatCase(rows, remote, "35", done) as case, ThreadPoolExecutor(len(WAYS)) as callers:
        held = {way: callers.submit(remote.reply, way, question("slowly")) for way in WAYS}
        with remote.listen_to("chat text", question("slowly")) as listener:
            assert listener.take(400) == 400
            llm.kill()
            killed_at = time.monotonic()
            assert not listener.rest_of_bytes().endswith(b"0\r\n\r\n")
        for way, future in held.items():
            answer = future.result()
            case.saw(summary(answer))
            assert not is_well(way, answer), way
        case.note(f"all ended {time.monotonic() - killed_at:.2f} s after it")
        for way in WAYS:
            answer = remote.reply(way)
            case.saw(f"gone: {summary(answer)}")
            assert (answer.status, answer.error["code"]) == (503, "llm_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        assert remote.ask().summary == "200"
        case.note(f"gone: speech 200, /ready {remote.status('/ready')[0]}")
        llm.start()
        for way in WAYS:
            assert is_well(way, remote.reply(way))
        case.note(f"again: {len(WAYS)} x 200")
