"""WebSocket messages in any order: every response is an event, and nothing leaks."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import pytest
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from orpheus_server.api.realtime.events import (
    CLIENT_EVENT_TYPES,
    AudioDone,
    AudioStart,
    ChunkStart,
    ErrorEvent,
    ServerEvent,
    SessionStarted,
    TranscriptDelta,
    TranscriptDone,
    TranscriptTruncated,
)
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.errors import ChatModelFailed, GenerationFailed
from orpheus_server.fakes import ReplyScript, Script, ScriptedChatModel
from tests.fuzz.examples import Effort, efforts, errors_in, leaves_nothing
from tests.support.app import WAIT_LIMIT_SEC, FakeServer, loop_script, short_script
from tests.support.served import ServedFakes, wait_until

SERVER_EVENT: TypeAdapter[ServerEvent] = TypeAdapter(
    Annotated[ServerEvent, Field(discriminator="type")]
)
MARK = "a_mark"

TEXTS = st.sampled_from(
    [
        "Hello there, my friend. ",
        "Yes.",
        "a",
        "",
        " ",
        "<laugh>",
        "<custom_token_5>",
        "... ",
        "\n\n",
    ]
    + ["\ud800", "\x00", "你好。", "e" + "\u0301" * 40, "word " * 30, "w" * 200, "7" * 60]
) | st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "voice": st.sampled_from(["rms", "slt", "alloy", "nobody", None, 7, {"id": "rms"}]),
        "model": st.sampled_from(["tts-1", "gpt-4", None]),
        "response_format": st.sampled_from([*FORMATS, "ogg", None, 1]),
        "speed": st.sampled_from([0.25, 1, 4.0, 5, "1"]),
        "seed": st.integers(),
        "temperature": st.floats(),
        "max_tokens": st.integers(0, 9000),
        "unknown": JSON,
        "history": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": TEXTS}
            ),
            max_size=3,
        ),
        "system_prompt": TEXTS,
    },
)
PLAYED = st.fixed_dictionaries(
    {}, optional={"played_ms": st.sampled_from([0, 100, 700.5, 1e300, -1, None, "1"])}
)
CHAT_MESSAGES = st.fixed_dictionaries(
    {"type": st.just("chat.message"), "text": TEXTS},
    optional={"max_tokens": st.integers(-1, 9000), "seed": st.integers(), "top_p": st.floats()},
)
EVENTS = st.one_of(
    OPTIONS.map(lambda options: {"type": "session.start", **options}),
    st.just({"type": "session.start"}),
    TEXTS.map(lambda text: {"type": "text.delta", "text": text}),
    TEXTS.map(lambda text: {"type": "text.delta", "text": text}),
    st.sampled_from([{"type": name} for name in ("text.flush", "text.done", "cancel")]),
    PLAYED.map(lambda played: {"type": "cancel", **played}),
    st.builds(lambda message, played: message | played, CHAT_MESSAGES, PLAYED),
    TEXTS.map(lambda text: {"type": "chat.message", "text": text}),
    st.dictionaries(st.sampled_from(["type", "text", "x"]), JSON | TEXTS, max_size=3),
    JSON,
)
MESSAGES = st.one_of(
    EVENTS.map(json.dumps),
    EVENTS.map(json.dumps),
    EVENTS.map(json.dumps),
    # Not JSON, text that is almost an event, and binary messages, which the server does not read.
    st.sampled_from(["", "{", "[" * 5000, '{"type": "cancel"', "NaN", '"\\ud800"', "\x00"]),
    st.text(st.characters(codec="utf-8"), max_size=10),
    st.binary(max_size=20),
)
START = json.dumps({"type": "session.start"})
SEQUENCES = st.builds(
    lambda first, others: [*first, *others],
    # Without it, most clients would be disconnected at their first message.
    st.sampled_from([[START], [START], [START], []]),
    st.lists(
        MESSAGES
        | st.sampled_from(["fail", "loop", "short"]).map(lambda name: ("engine", name))
        | st.sampled_from(["fail", "mute", "smile", "break", "long"]).map(
            lambda name: ("model", name)
        ),
        max_size=25,
    ),
) | st.lists(
    # Valid events in quick succession.
    st.sampled_from(
        [*[{"type": "text.delta", "text": "Hello there, my friend. "}] * 4]
        + [{"type": "cancel"}, {"type": "cancel"}, {"type": "text.done"}, {"type": "text.flush"}]
        + [{"type": "chat.message", "text": "Hello?"}] * 3
        + [{"type": "chat.message", "text": "Stop.", "played_ms": 300}]
    ).map(json.dumps),
    max_size=60,
).map(lambda events: [START, *events])
SCRIPTS = {
    "fail": Script((), error=GenerationFailed("the engine says no")),
    "loop": loop_script(12),
    "short": short_script(1),
}
REPLIES = {
    "fail": ReplyScript(("Hello there, my friend. And", " then"), error=ChatModelFailed("no")),
    "mute": ReplyScript(()),
    "smile": ReplyScript(("😀", " **")),
    "break": ReplyScript(("Hello",), finish_reason=None),
    "long": ReplyScript(tuple("Hello there, my friend. How are you? " * 9), "length"),
}


class ReceivedEvents:
    """Checks the order of events against docs/streaming.md."""

    def __init__(self) -> None:
        self.last_ended = -1
        self.speaking: int | None = None
        self.chunk = -1
        self.sample = 0
        self.is_marked = False
        self.written = ""
        self.is_written = False

    def take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            assert message
            assert self.speaking is not None
            return
        event = SERVER_EVENT.validate_json(message)
        # All fields of the type and no others.
        assert json.loads(message) == event.model_dump(mode="json")
        match event:
            case SessionStarted():
                assert self.speaking is None
                self.is_marked = MARK in event.ignored_fields
            case AudioStart():
                assert self.speaking is None
                assert event.utterance > self.last_ended
                self.speaking, self.chunk, self.sample = event.utterance, -1, 0
            case ChunkStart():
                assert event.utterance == self.speaking
                assert event.chunk > self.chunk
                assert event.start_sample >= self.sample
                self.chunk, self.sample = event.chunk, event.start_sample
            case TranscriptDelta():
                assert event.text
                assert event.utterance == self.last_ended + 1
                assert not self.is_written
                self.written += event.text
            case TranscriptDone():
                assert event.utterance == self.last_ended + 1
                assert event.text == self.written
                self.is_written = True
            case TranscriptTruncated():
                # Of the current utterance or the last one.
                assert event.utterance <= self.last_ended + 1
            case AudioDone():
                is_silent = self.is_written and event.num_samples == 0
                assert event.is_cancelled or is_silent or event.utterance == self.speaking
                assert event.num_samples >= self.sample or event.is_cancelled
                self._end(event.utterance)
            case ErrorEvent():
                assert event.error.message
                if event.utterance is not None:
                    self._end(event.utterance)

    def _end(self, utterance: int) -> None:
        assert self.speaking in (None, utterance)
        assert utterance == self.last_ended + 1
        self.speaking, self.last_ended = None, utterance
        self.written, self.is_written = "", False


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    chat = ScriptedChatModel(ReplyScript(("Hello there, ", "my friend. ", "**How** are you?")))
    with ServedFakes(FakeServer(chat=chat)) as served:
        yield served


def open_session(served: ServedFakes) -> ClientConnection:
    """Connects with an unbounded queue: a full one would block the client when it closes."""
    return connect(served.socket_url, compression=None, max_queue=None)


def send_all(served: ServedFakes, connection: ClientConnection, sequence: list[Any]) -> None:
    for message in sequence:
        match message:
            case "engine", name:
                served.fakes.engine.enqueue(SCRIPTS[name])
            case "model", name:
                chat_of(served).enqueue(REPLIES[name])
            case _:
                connection.send(message)


def is_disconnected(sequence: list[Any]) -> bool:
    """True if the first message, or three in a row, are not events of the protocol."""
    are_events = [is_event(message) for message in sequence if not isinstance(message, tuple)]
    in_a_row = zip(are_events, are_events[1:], are_events[2:], strict=False)
    return are_events[:1] == [False] or (False, False, False) in in_a_row


def is_event(message: str | bytes) -> bool:
    if isinstance(message, bytes):
        return False
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("type") in CLIENT_EVENT_TYPES


def chat_of(served: ServedFakes) -> ScriptedChatModel:
    assert isinstance(served.fakes.chat, ScriptedChatModel)
    return served.fakes.chat


def clear_scripts(served: ServedFakes) -> None:
    served.fakes.engine._queue.clear()
    chat_of(served)._queue.clear()


@contextmanager
def leaves_both_idle(served: ServedFakes) -> Iterator[None]:
    """`leaves_nothing`, including the language model."""
    with leaves_nothing(served):
        yield
        wait_until(lambda: chat_of(served).num_active == 0)


def receive_until_mark(connection: ClientConnection) -> ReceivedEvents:
    """Receives everything up to the response to a `session.start` with a unique field."""
    received = ReceivedEvents()
    connection.send(json.dumps({"type": "cancel"}))
    connection.send(json.dumps({"type": "session.start", MARK: 1}))
    while not received.is_marked:
        received.take(connection.recv(WAIT_LIMIT_SEC))
    return received


@efforts(quick=50, slow=1000)
def test_every_response_is_an_event_and_the_session_continues_or_is_closed(
    served: ServedFakes, effort: Effort, caplog: pytest.LogCaptureFixture
) -> None:
    def check(sequence: list[Any]) -> None:
        clear_scripts(served)
        with leaves_both_idle(served), open_session(served) as connection:
            close_code = None
            try:
                send_all(served, connection, sequence)
                received = receive_until_mark(connection)
            except ConnectionClosed as closed:
                close_code = closed.rcvd and closed.rcvd.code
            assert close_code == (1008 if is_disconnected(sequence) else None)
            assert errors_in(caplog) == []
            if close_code is not None:
                return
            clear_scripts(served)
            num_ended = received.last_ended
            connection.send(json.dumps({"type": "text.delta", "text": "Yes."}))
            connection.send(json.dumps({"type": "text.done"}))
            while received.last_ended == num_ended:
                message = connection.recv(WAIT_LIMIT_SEC)
                received.take(message)
            assert json.loads(message)["type"] == "audio.done"
        assert errors_in(caplog) == []

    effort.run(check, sequence=SEQUENCES)


@efforts(quick=50, slow=1000)
def test_a_disconnect_at_any_moment(
    served: ServedFakes, effort: Effort, caplog: pytest.LogCaptureFixture
) -> None:
    def check(sequence: list[Any], num_messages: int, is_abrupt: bool) -> None:
        clear_scripts(served)
        speech = [{"type": "session.start"}, {"type": "text.delta", "text": "Hello there. " * 9}]
        with leaves_both_idle(served), open_session(served) as connection:
            received = ReceivedEvents()
            with suppress(TimeoutError, ConnectionClosed):
                send_all(served, connection, [*sequence, *map(json.dumps, speech)])
                for _ in range(num_messages):
                    received.take(connection.recv(0.01))
            # The server may have closed the connection.
            with suppress(OSError):
                if is_abrupt:
                    connection.socket.shutdown(socket.SHUT_RDWR)
        assert errors_in(caplog) == []

    effort.run(check, sequence=SEQUENCES, num_messages=st.integers(0, 6), is_abrupt=st.booleans())
