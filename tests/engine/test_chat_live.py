"""Chat on real engines: the bundled voice with a tiny random Gemma or the echo model."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest
from websockets.sync.client import connect

from orpheus_server.chat.echo import EchoModel
from tests.support import recognition
from tests.support.live import LiveServer, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CHAT = "/v1/chat"
SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Please put the blue cups back on the shelf.",
    "Nobody had told him that the shop was closed.",
]


@pytest.fixture
def client(server: LiveServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.fixture
def echo(server: LiveServer) -> Iterator[None]:
    """Replaces the language model with the echo model for the duration of the test."""
    model = server.runtime.get_chat_model()
    server.runtime.open_chat(EchoModel())
    yield
    server.runtime.open_chat(model)


def check_nothing_left(server: LiveServer) -> None:
    wait_until(lambda: server.engine.num_active == 0)
    wait_until(lambda: server.runtime.get_chat_model().num_active == 0)
    wait_until(lambda: server.runtime.admission.num_running == 0)
    language_model = server.runtime.engine_group.language_model
    assert language_model is not None
    wait_until(lambda: language_model.num_active == 0)
    assert language_model.kv_cache_share == 0.0


def samples_of(wav: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    return np.frombuffer(wav[44:], dtype="<i2")


def ask(client: httpx2.Client, number: int, **fields: object) -> httpx2.Response:
    body = {"message": f"Question {number}.", "max_tokens": 16, "seed": number, **fields}
    return client.post(CHAT, json=body)


def test_fifty_in_a_row_and_eight_at_the_same_time(
    server: LiveServer, client: httpx2.Client
) -> None:
    """In an earlier server the second request hung forever."""
    texts = []
    for number in range(50):
        answer = ask(client, number, stream_text=True)
        assert answer.status_code == 200
        texts.append(answer.text)
    assert len(set(texts)) > 40
    with ThreadPoolExecutor(8) as callers:
        for answer in callers.map(lambda number: ask(client, number, voice="slt"), range(8)):
            assert answer.status_code == 200, answer.text
            is_silent = "x-orpheus-nothing-to-speak" in answer.headers
            assert is_silent != (samples_of(answer.content).size > 12_000)
    check_nothing_left(server)


@pytest.mark.usefixtures("echo")
def test_the_reply_is_heard(server: LiveServer, client: httpx2.Client) -> None:
    for sentence in SENTENCES:
        answer = client.post(CHAT, json={"message": sentence, "voice": "leo", "seed": 3})
        assert recognition.pick(samples_of(answer.content), 24_000, SENTENCES) == sentence
    check_nothing_left(server)


@pytest.mark.usefixtures("echo")
def test_markup_is_not_spoken(client: httpx2.Client) -> None:
    message = f"## **{SENTENCES[1]}** 😀\n```\nprint(1)\n```"
    answer = client.post(CHAT, json={"message": message, "voice": "leo", "seed": 3})
    assert recognition.pick(samples_of(answer.content), 24_000, SENTENCES) == SENTENCES[1]


def test_requests_of_clients_that_leave_are_aborted(
    server: LiveServer, client: httpx2.Client
) -> None:
    for number in range(12):
        body = {"message": f"Question {number}.", "stream_text": number % 3 == 0}
        with client.stream("POST", CHAT, json=body) as answer:
            next(answer.iter_raw())
    check_nothing_left(server)


def test_a_session_with_barge_in(server: LiveServer) -> None:
    with connect(server.socket_url) as socket:
        socket.send(json.dumps({"type": "session.start", "voice": "leo"}))
        socket.send(json.dumps({"type": "chat.message", "text": "Tell me all.", "seed": 1}))
        num_bytes = 0
        while num_bytes < 10_000:
            message = socket.recv(60)
            num_bytes += len(message) if isinstance(message, bytes) else 0
        socket.send(
            json.dumps({"type": "chat.message", "text": "Stop.", "max_tokens": 8, "seed": 2})
        )
        done: list[bool] = []
        while len(done) < 2:
            message = socket.recv(60)
            if isinstance(message, str) and json.loads(message)["type"] == "audio.done":
                done.append(json.loads(message)["is_cancelled"])
        assert done == [True, False]
    check_nothing_left(server)


def test_models_describe_the_language_model(client: httpx2.Client) -> None:
    llm = client.get("/v1/models").json()["llm"]
    assert (llm["name"], llm["license"], llm["loaded"]) == (
        "gemma",
        "Gemma Terms of Use",
        True,
    )
    assert re.fullmatch(r"[0-9.]+[KM]", llm["parameters"])


def test_ten_thousand_turns(server: LiveServer, client: httpx2.Client) -> None:
    """The history is trimmed to the model's context."""
    history = [
        {"role": ("user", "assistant")[number % 2], "content": f"This is turn {number}."}
        for number in range(10_000)
    ]

    assert ask(client, 1, history=history, stream_text=True).status_code == 200
    assert ask(client, 2, history=history).status_code == 200
    check_nothing_left(server)
