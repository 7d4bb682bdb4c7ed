"""A real server with a voice and a language model: clients that leave, engines that die.

The tests share a server and become increasingly destructive; the last one kills it.
"""

import json
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.callers import Answer, is_speech, pcm, reset
from tests.faults.chat_callers import (
    CHAT,
    COMPLETIONS,
    LONG,
    PCM,
    QUESTION,
    SPOKEN,
    STREAMED,
    TIMEOUT_SEC,
    WAV,
    WAYS,
    ChatCase,
    ChatServer,
    converse,
    error_event,
    hear,
    is_well,
    local_model,
    seconds_until_rest,
    summary,
)
from tests.faults.conftest import warm
from tests.faults.fault_server import PAGE
from tests.faults.rows import Row
from tests.faults.test_leaving import ABORT_LIMIT_SEC
from tests.faults.test_sockets import BareSession, session
from tests.support.served import wait_until
from tests.support.server_process import is_alive

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NUM_LEAVING, NUM_AT_ONCE = 104, 8
NUM_IN_A_ROW, NUM_CHATS = 50, 200
MANY_TURNS = 10_000
SHORT: dict[str, Any] = {"max_tokens": 12}

# Bytes of an answer that takes a few seconds.
MOST_BYTES = {"chat": 50_000, "chat text": 2_000, "completion events": 60_000}
MOST_BYTES |= {"spoken completion events": 90_000, "socket": 60_000}


def warm_chat(server: ChatServer) -> None:
    """Like `warm`, and also uses every way of chat."""
    warm(server, num_requests=14)
    with ThreadPoolExecutor(NUM_AT_ONCE) as callers:
        ways = [*WAYS] * 3
        requested = [callers.submit(server.reply, way, **SHORT) for way in ways]
        assert {each.result().status for each in requested} == {200}
    assert server.reply("chat text", **LONG).status == 200
    with session(server) as socket:
        converse(socket, **SHORT)
    server.base = server.held()


@pytest.fixture(scope="module")
def chat_server(tmp_path_factory: pytest.TempPathFactory, tiny_gemma: Path) -> Iterator[ChatServer]:
    with ChatServer(tmp_path_factory.mktemp("chat_server"), **local_model(tiny_gemma)) as server:
        warm_chat(server)
        yield server


def messages(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def turns(num: int) -> list[dict[str, str]]:
    """Returns alternating turns of user and assistant."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": f"The {n}. word."} for n in range(num)]


def test_bad_chats_and_ten_thousand_turns(chat_server: ChatServer, rows: list[Row]) -> None:
    user = messages(("user", QUESTION))
    spoken = {**user, **SPOKEN}
    bad: list[tuple[str, object, int, str]] = [
        (CHAT, {"message": ""}, 400, "invalid_value"),
        (CHAT, {"message": " \n"}, 400, "invalid_value"),
        (CHAT, {}, 400, "missing_required_parameter"),
        (CHAT, {"message": None}, 400, "invalid_value"),
        (CHAT, {"message": "a" * 40_000}, 400, "string_above_max_length"),
        (CHAT, {"message": "A.", "voice": "nobody"}, 400, "voice_not_found"),
        (CHAT, {"message": "A.", "response_format": "avi"}, 400, "unsupported_response_format"),
        (CHAT, {"message": "A.", "history": [{"role": "x", "content": ""}]}, 400, "invalid_value"),
        (CHAT, {"message": "A.", "history": turns(20_001)}, 400, "invalid_value"),
        (CHAT, {"message": "A.", "model": "gpt-9"}, 404, "model_not_found"),
        (COMPLETIONS, {"messages": []}, 400, "invalid_value"),
        (COMPLETIONS, messages(("user", " ")), 400, "invalid_value"),
        (COMPLETIONS, messages(("king", "A.")), 400, "invalid_value"),
        (COMPLETIONS, messages(("user", "A."), ("assistant", "B.")), 400, "invalid_value"),
        (COMPLETIONS, spoken, 400, "missing_required_parameter"),
        (COMPLETIONS, {**spoken, "audio": {"voice": "leo"}}, 400, "missing_required_parameter"),
        (COMPLETIONS, {**spoken, "audio": {**WAV, "voice": "x"}}, 400, "voice_not_found"),
        (COMPLETIONS, {**spoken, "audio": WAV, "stream": True}, 400, "unsupported_value"),
        (COMPLETIONS, {**spoken, "audio": {**PCM, "format": "avi"}}, 400, "unsupported_value"),
        (COMPLETIONS, {**user, "modalities": ["audio"]}, 400, "unsupported_value"),
        (COMPLETIONS, {**user, "model": "gpt-9"}, 404, "model_not_found"),
    ]
    with ChatCase(rows, chat_server, "26", f"{len(bad)} bad chats; {MANY_TURNS} turns") as case:
        for path, body, status, code in bad:
            answer = chat_server.post(path, body)
            case.saw(answer)
            found = (answer.status, answer.error["code"])
            assert found == (status, code), (path, str(body)[:80], answer.error)
        many = turns(MANY_TURNS)
        last = {"role": "user", "content": QUESTION}
        requested: list[tuple[str, dict[str, Any]]] = [
            ("chat text", {"history": many}),
            ("completion", {"messages": [*many, last]}),
        ]
        for way, fields in requested:
            answer = chat_server.reply(way, **fields, **SHORT)
            case.note(f"{way}, {MANY_TURNS} turns: {answer.summary} in {answer.total_sec:.2f} s")
            assert is_well(way, answer)


def leave(server: ChatServer, way: str, source: random.Random) -> None:
    """Leaves at a random byte of the answer, or at a random time if it is not streamed."""
    with_reset = source.random() < 0.5
    if way == "socket":
        bare = BareSession(server, reads=False)
        bare.send_event({"type": "chat.message", "text": QUESTION, **LONG})
        left_bytes = 1 + source.randrange(MOST_BYTES[way])
        while left_bytes > 0 and (block := bare.connection.recv(left_bytes)):
            left_bytes -= len(block)
        reset(bare.connection) if with_reset else bare.connection.close()
        return
    with server.listen_to(way, **LONG) as listener:
        if way in STREAMED:
            assert listener.take(1 + source.randrange(MOST_BYTES[way])) > 0
        else:
            time.sleep(source.random())
        listener.leave(with_reset=with_reset)


def test_clients_that_leave(chat_server: ChatServer, rows: list[Row]) -> None:
    source = random.Random(26)
    ways = [*WAYS, "socket"]
    done = f"{NUM_LEAVING} callers leave at a random byte or moment, {NUM_AT_ONCE} at once"
    with (
        ChatCase(rows, chat_server, "27", done) as case,
        ThreadPoolExecutor(NUM_AT_ONCE) as callers,
    ):
        free_sec = []
        for wave in range(NUM_LEAVING // NUM_AT_ONCE):
            wanted = [ways[(wave + n) % len(ways)] for n in range(NUM_AT_ONCE)]
            sources = [random.Random(source.random()) for _ in wanted]
            list(callers.map(leave, [chat_server] * NUM_AT_ONCE, wanted, sources))
            free_sec.append(seconds_until_rest(chat_server))
            for way in wanted:
                case.saw(way)
        median_sec, most_sec = statistics.median(free_sec), max(free_sec)
        case.note(f"both engines at rest {median_sec:.3f} s (median), {most_sec:.3f} s (most)")
        case.note(f"after the last of {NUM_AT_ONCE}")
        assert most_sec <= ABORT_LIMIT_SEC


def test_chats_in_a_row_and_concurrently(chat_server: ChatServer, rows: list[Row]) -> None:
    def ask(number: int) -> tuple[str, Answer]:
        way = [*WAYS][number % len(WAYS)]
        return way, chat_server.reply(way, f"{QUESTION} {number}", max_tokens=8, seed=number)

    def check_all(requested: list[tuple[str, Answer]]) -> str:
        for _way, answer in requested:
            case.saw(answer)
            assert (answer.status, answer.is_whole) == (200, True), summary(answer)
            assert not summary(answer).startswith("200,")
        took_sec = [answer.total_sec for _, answer in requested]
        return f"{statistics.median(took_sec):.2f} s (median), {max(took_sec):.2f} s (most)"

    done = f"{NUM_IN_A_ROW} chats in a row, {NUM_CHATS - NUM_IN_A_ROW} with {NUM_AT_ONCE} at once"
    before_bytes, before_mb = chat_server.rss_bytes(), chat_server.sum_rss_mb()
    with (
        ChatCase(rows, chat_server, "28", done) as case,
        ThreadPoolExecutor(NUM_AT_ONCE) as callers,
    ):
        case.note(f"in a row {check_all([ask(number) for number in range(NUM_IN_A_ROW)])}")
        at_once = callers.map(ask, range(NUM_IN_A_ROW, NUM_CHATS))
        case.note(f"{NUM_AT_ONCE} at once {check_all(list(at_once))}")
        grown_mb = (chat_server.rss_bytes() - before_bytes) / 1e6
        engines_mb = chat_server.sum_rss_mb() - before_mb
        case.note(f"memory {grown_mb:+.1f} MB, engine cores {engines_mb:+.1f} MB")
        assert grown_mb < 20


def engines(server: ChatServer) -> list[psutil.Process]:
    """Returns the cores of voice and language model, once a failed case's engine has restarted."""
    server.wait_ready()
    server.take_as_base()
    return server.cores()


def serve_until_ready(server: ChatServer, case: ChatCase, *, is_chat: bool) -> None:
    """Checks until `/ready` is 200 again: the lost engine answers 503, the other one serves."""
    wait_until(lambda: server.status("/ready")[0] == 503, limit_sec=30, pause_sec=0.01)
    lost_at = time.monotonic()
    assert server.status("/ready") == (503, "30")
    assert server.status("/health")[0] == 200
    gauges = server.gauges()
    assert (gauges["chat_up"], gauges["engine_up"]) == ((0.0, 1.0) if is_chat else (1.0, 0.0))
    num_served = 0
    while server.status("/ready")[0] != 200:
        chat = server.reply("chat text", **SHORT)
        speech = server.ask()
        if server.status("/ready")[0] == 200:
            break
        lost, other = (chat, speech) if is_chat else (speech, chat)
        assert (lost.status, lost.error["code"]) == (503, "engine_unavailable")
        assert (other.status, other.is_whole) == (200, True), other.summary
        num_served += 1
        assert time.monotonic() < lost_at + 120
    assert num_served > 0
    label = "speech" if is_chat else "text chats"
    case.note(f"{num_served} {label} served meanwhile, the lost one 503 engine_unavailable")
    case.note(f"ready again after {time.monotonic() - lost_at:.0f} s")
    assert server.gauges()["chat_up"] == 1
    server.take_as_base()


def test_the_language_model_is_killed(chat_server: ChatServer, rows: list[Row]) -> None:
    voice, model = engines(chat_server)
    begun = ("chat text", "completion events", "spoken completion events")
    waiting = ("chat", "chat text", "completion", "spoken completion")
    done = f"kill -9 of the language model's core, {NUM_AT_ONCE} chats in flight"
    with ExitStack() as stack:
        case = stack.enter_context(ChatCase(rows, chat_server, "29", done))
        callers = stack.enter_context(ThreadPoolExecutor(NUM_AT_ONCE))
        socket = stack.enter_context(session(chat_server))
        speech = callers.submit(chat_server.ask, input=PAGE)
        socket.send(json.dumps({"type": "chat.message", "text": QUESTION, **LONG}))
        assert json.loads(socket.recv(timeout=30))["type"] == "transcript.delta"
        listeners = {way: stack.enter_context(chat_server.listen_to(way, **LONG)) for way in begun}
        for listener in listeners.values():
            assert listener.take(600) == 600
        model.suspend()
        held = {way: callers.submit(chat_server.reply, way) for way in waiting}
        wait_until(lambda: chat_server.num_replies() == NUM_AT_ONCE, limit_sec=TIMEOUT_SEC)
        killed_at = time.monotonic()
        model.kill()
        for way, future in held.items():
            answer = future.result()
            case.saw(f"before: {summary(answer)}")
            assert (answer.status, answer.error["code"]) == (503, "engine_unavailable"), way
            assert answer.headers["retry-after"] == "30"
        before_sec = time.monotonic() - killed_at
        assert is_alive(voice)
        # Beside the checks: first comes the speech of all text so far, for longer than a restart.
        hearing = callers.submit(hear, socket)
        rests = {way: callers.submit(each.rest_of_bytes) for way, each in listeners.items()}
        serve_until_ready(chat_server, case, is_chat=True)
        heard, _ = hearing.result()
        case.saw(f"socket: {heard[-1]['type']} {heard[-1]['error']['code']}")
        assert heard[-1]["error"]["code"] == "engine_unavailable"
        for way, pending in rests.items():
            rest = pending.result()
            has_event = b'"code":"engine_unavailable"' in rest
            case.saw(f"after: {'error event' if has_event else 'cut'}")
            assert has_event == (way != "chat text")
            assert not rest.endswith(b"0\r\n\r\n")
        case.note(f"ended after {before_sec:.2f} s if no byte was sent yet")
        answer = speech.result()
        assert (answer.status, answer.is_whole) == (200, True)
        assert is_speech(pcm(answer.body), 30, 120)
        assert chat_server.cores()[0] == voice
        chat_server.take_as_base()


def test_the_language_model_is_stopped(chat_server: ChatServer, rows: list[Row]) -> None:
    voice, model = engines(chat_server)
    done = f"SIGSTOP of the language model's core, LLM_TIMEOUT_SEC={TIMEOUT_SEC}"
    with ExitStack() as stack:
        case = stack.enter_context(ChatCase(rows, chat_server, "30", done))
        callers = stack.enter_context(ThreadPoolExecutor(NUM_AT_ONCE))
        begun = stack.enter_context(chat_server.listen_to("completion events", **LONG))
        assert begun.take(600) == 600
        model.suspend()
        held = {way: callers.submit(chat_server.reply, way) for way in WAYS}
        spoken = chat_server.ask()
        assert (spoken.status, spoken.is_whole) == (200, True)
        took_sec = []
        for way, future in held.items():
            answer = future.result()
            case.saw(summary(answer))
            assert (answer.status, answer.error["code"]) == (504, "timeout"), way
            took_sec.append(answer.total_sec)
        rest = begun.rest_of_bytes()
        assert b'"code":"timeout"' in rest
        assert not rest.endswith(b"0\r\n\r\n")
        case.saw("after the first byte: error event timeout")
        case.note(f"504 after {min(took_sec):.2f} to {max(took_sec):.2f} s")
        assert max(took_sec) < TIMEOUT_SEC + 1
        serve_until_ready(chat_server, case, is_chat=True)
        assert not is_alive(model)
        assert chat_server.cores()[0] == voice


def test_the_voice_is_killed(chat_server: ChatServer, rows: list[Row]) -> None:
    voice, model = engines(chat_server)
    with ExitStack() as stack:
        done = "kill -9 of the voice's core, 6 chats in flight"
        case = stack.enter_context(ChatCase(rows, chat_server, "31", done))
        callers = stack.enter_context(ThreadPoolExecutor(NUM_AT_ONCE))
        held: dict[str, Future[Answer]] = {
            way: callers.submit(chat_server.reply, way, **LONG) for way in WAYS
        }
        wait_until(lambda: chat_server.num_active() >= 3, limit_sec=20, pause_sec=0.005)
        voice.kill()
        for way, future in held.items():
            answer = future.result()
            case.saw(f"{way}: {summary(answer)}")
            if way == "chat text" or way.startswith("completion"):
                assert is_well(way, answer), summary(answer)
            elif answer.status == 200:
                code = error_event(answer).get("code")
                assert code == "engine_unavailable" or not answer.is_whole
            else:
                assert (answer.status, answer.error["code"]) == (503, "engine_unavailable")
        serve_until_ready(chat_server, case, is_chat=False)
        assert chat_server.cores()[0] == model


def test_the_server_is_killed(chat_server: ChatServer, rows: list[Row]) -> None:
    """Runs last, because it kills the shared server."""
    left = chat_server.descendants()
    with chat_server.listen_to("chat", **LONG) as listener:
        assert listener.take(10_000) == 10_000
        chat_server.process.kill()
        started = time.monotonic()
        wait_until(lambda: not any(map(is_alive, left)), limit_sec=10)
    seen = f"the last of {len(left)} processes ended {time.monotonic() - started:.1f} s later"
    rows.append(Row("32", "SIGKILL of the server with a chat in flight", seen))
