"""`WS /v1/audio/stream`: the sequence of events, mistakes in it, and callers who leave."""

import asyncio
import base64
import io
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.server.uvicorn_config import MAX_MESSAGE_BYTES
from orpheus_server.session.stream_session import StreamSession
from orpheus_server.session.text_intake import MAX_WAITING_UTTERANCES
from orpheus_server.settings import Settings
from orpheus_server.synthesis.synthesizer import LIVE_LOOK_AHEAD
from orpheus_server.text.chunking import nothing_to_speak
from tests.support.app import (
    WAIT_LIMIT_SEC,
    FakeServer,
    endless_script,
    held_script,
    short_script,
    speech_ids,
)
from tests.support.served import ServedFakes, wait_until

ROOT = Path(__file__).parent.parent
PATH = "/v1/audio/stream"
# One chunk of 30 frames.
SENTENCE = "Abcdefg hijklmno pqrstuv wxyz abcd."
FRAME_BYTES = 4096
FORMATS = ["wav", "pcm", "mp3", "opus", "aac", "flac"]

START: dict[str, Any] = {"type": "session.start"}
DONE: dict[str, Any] = {"type": "text.done"}
FLUSH: dict[str, Any] = {"type": "text.flush"}
CANCEL: dict[str, Any] = {"type": "cancel"}

Received = dict[str, Any] | bytes


def delta(text: str) -> dict[str, Any]:
    return {"type": "text.delta", "text": text}


def usage(num_input: int, num_output: int) -> dict[str, int]:
    return {
        "input_tokens": num_input,
        "output_tokens": num_output,
        "total_tokens": num_input + num_output,
    }


def done_event(utterance: int, num_input: int, num_output: int, num_samples: int) -> Received:
    return {
        "type": "audio.done",
        "utterance": utterance,
        "usage": usage(num_input, num_output),
        "num_samples": num_samples,
        "degraded_chunks": [],
        "is_cancelled": False,
    }


def chunk_event(utterance: int, chunk: int, text: str, start_sample: int) -> Received:
    return {
        "type": "chunk.start",
        "utterance": utterance,
        "chunk": chunk,
        "text": text,
        "start_sample": start_sample,
    }


def error_event(message: str, param: str | None, code: str) -> Received:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return {"type": "error", "utterance": None, "error": error}


class Session:
    """A client's end of a session."""

    def __init__(self, server: FakeServer, client: TestClient, socket: WebSocketTestSession):
        self.server = server
        self.client = client
        self.socket = socket

    def send(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.socket.send_json(event)

    def receive(self) -> Received:
        # Not `socket.receive()`: that waits for ever, and a test that fails should end.
        waiting = self.socket.portal.start_task_soon(self.socket._send_rx.receive)
        message = waiting.result(WAIT_LIMIT_SEC)
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message["code"])
        data: bytes | None = message.get("bytes")
        if data is not None:
            return data
        event: dict[str, Any] = json.loads(message["text"])
        return event

    def until(self, *types: str) -> list[Received]:
        """All messages up to the first event of these types; binary ones in a row are one."""
        received: list[Received] = []
        while True:
            message = self.receive()
            last = received[-1] if received else None
            if isinstance(message, bytes) and isinstance(last, bytes):
                received[-1] = last + message
                continue
            received.append(message)
            if not isinstance(message, bytes) and message["type"] in types:
                return received

    def start(self, **options: Any) -> dict[str, Any]:
        self.send({**START, **options})
        (started,) = self.until("session.started", "error")
        assert not isinstance(started, bytes)
        assert started["type"] == "session.started", started
        return started

    def speak(self, *texts: str) -> list[Received]:
        self.send(*map(delta, texts), DONE)
        return self.until("audio.done", "error")

    def open_gate(self, gate: asyncio.Event) -> None:
        self.call(gate.set)

    def call(self, function: Callable[[], None]) -> None:
        """Runs it on the server's loop."""
        assert self.client.portal is not None
        self.client.portal.call(function)

    def check_alive(self) -> None:
        """An utterance of one word, with nothing before it."""
        num_samples = 9 * 2048
        start, chunk, sound, done = self.speak("Hello you.")
        assert not isinstance(start, bytes)
        utterance = start["utterance"]
        assert start == {"type": "audio.start", "utterance": utterance}
        assert chunk == chunk_event(utterance, 0, "Hello you.", 0)
        assert len(sound) == 2 * num_samples
        assert done == done_event(utterance, 10, 64, num_samples)


@contextmanager
def open_session(server: FakeServer, path: str = PATH) -> Iterator[Session]:
    """Afterwards the session has ended and nothing is left in the engine."""
    with server.client() as client, client.websocket_connect(path) as socket:
        yield Session(server, client, socket)


@pytest.fixture
def session() -> Iterator[Session]:
    with open_session(FakeServer()) as session:
        yield session


class TestSequence:
    @pytest.mark.parametrize("path", [PATH, "/audio/stream"])
    def test_from_text_to_sound(self, path: str) -> None:
        with open_session(FakeServer(), path) as session:
            started = session.start()
            assert started.pop("session_id").startswith("req_")
            assert started == {
                "type": "session.started",
                "voice": "rms",
                "response_format": "pcm",
                "sample_rate": 24_000,
                "ignored_fields": [],
            }
            received = session.speak(
                "Hello you, ", "my friend. How", " are you to", "day? I am fine."
            )
        assert received == [
            {"type": "audio.start", "utterance": 0},
            chunk_event(0, 0, "Hello you, my friend. How are you today?", 0),
            received[2],
            chunk_event(0, 1, "I am fine.", 30 * 2048),
            received[4],
            done_event(0, 41, 268, 38 * 2048),
        ]
        assert [len(received[2]), len(received[4])] == [30 * FRAME_BYTES, 8 * FRAME_BYTES]

    @pytest.mark.parametrize("name", FORMATS)
    def test_the_sound_is_that_of_the_other_route(self, session: Session, name: str) -> None:
        body = {"input": SENTENCE, "response_format": name, "stream": True, "seed": 5}
        answer = session.client.post("/v1/audio/speech", json=body)
        assert session.start(response_format=name, seed=5)["response_format"] == name
        _, _, sound, done = session.speak(SENTENCE)
        assert sound == answer.content
        assert done == done_event(0, 32, 211, 30 * 2048)
        if name != "pcm":
            with av.open(io.BytesIO(sound), "r") as container:
                assert container.streams.audio[0].channels == 1

    def test_where_deltas_end_makes_no_difference(self, session: Session) -> None:
        text = "Abcdefg hijklmno, pqrstuv. Wxyz abcd <laugh> efgh! " * 4
        session.start(seed=5)
        whole = session.speak(text)
        single = session.speak(*text)
        assert [each for each in single if isinstance(each, bytes)] == [
            each for each in whole if isinstance(each, bytes)
        ]
        texts = [
            [each["text"] for each in received if not isinstance(each, bytes) and "text" in each]
            for received in (whole, single)
        ]
        assert len(texts[0]) > 2
        assert texts[0] == texts[1]

    def test_options_reach_the_engine(self, session: Session) -> None:
        options = {"temperature": 1.25, "top_p": 0.5, "top_k": 7, "min_p": 0.25}
        options |= {"repetition_penalty": 1.5, "max_tokens": 123}
        started = session.start(voice={"id": "tara"}, model="tts-1", **options)
        assert started["voice"] == "slt"
        session.speak("Hello you.")
        request = session.server.engine.requests[0]
        assert request.request_id == f"{started['session_id']}-0-0-1"
        assert request.prompt_token_ids[1] == 6
        assert {name: getattr(request.sampling, name) for name in options} == options

    def test_speed(self, session: Session) -> None:
        session.start(speed=2.0)
        _, _, sound, done = session.speak(SENTENCE)
        assert done == done_event(0, 32, 211, 15 * 2048)
        assert len(sound) == 15 * FRAME_BYTES

    def test_utterances_in_a_row(self, session: Session) -> None:
        """Options may change between them."""
        session.start()
        session.check_alive()
        session.start(voice="slt")
        session.check_alive()
        assert [each.prompt_token_ids[1] for each in session.server.engine.requests] == [5, 6]

    def test_text_of_the_next_utterance_while_one_is_spoken(self, session: Session) -> None:
        gate = asyncio.Event()
        session.server.engine.enqueue(held_script(short_script(30), gate, num_free_frames=10))
        session.start()
        session.send(delta(SENTENCE), DONE, delta("Hello"), delta(" you."), DONE)
        session.until("chunk.start")
        session.open_gate(gate)
        received = [*session.until("audio.done"), *session.until("audio.done")]
        assert [each for each in received if not isinstance(each, bytes)] == [
            done_event(0, 32, 211, 30 * 2048),
            {"type": "audio.start", "utterance": 1},
            chunk_event(1, 0, "Hello you.", 0),
            done_event(1, 10, 64, 9 * 2048),
        ]
        assert [len(each) for each in received if isinstance(each, bytes)] == [
            30 * FRAME_BYTES,
            9 * FRAME_BYTES,
        ]

    def test_sound_before_the_text_has_ended(self, session: Session) -> None:
        """What a language model has written is heard while it writes the rest."""
        session.start()
        session.send(delta(SENTENCE + " Ef"))
        start, chunk = session.until("chunk.start")
        assert chunk == chunk_event(0, 0, SENTENCE, 0)
        assert isinstance(session.receive(), bytes)
        session.send(delta("gh."), DONE)
        received = session.until("audio.done")
        assert chunk_event(0, 1, "Efgh.", 30 * 2048) in received
        assert len(session.server.engine.requests) == 2

    def test_flush(self, session: Session) -> None:
        """A speaker who pauses inside of a sentence is heard up to there."""
        session.start()
        session.send(delta("Hello you"), FLUSH)
        start, chunk = session.until("chunk.start")
        assert chunk == chunk_event(0, 0, "Hello you.", 0)
        session.send(FLUSH, delta(" my friend"), FLUSH)
        received = session.until("chunk.start")
        assert received[1:] == [chunk_event(0, 1, "my friend.", 9 * 2048)]
        session.send(DONE)
        assert session.until("audio.done")[-1] == done_event(0, 20, 128, 18 * 2048)

    def test_a_chunk_that_was_heard_before_it_failed(self, session: Session) -> None:
        session.server.engine.enqueue(endless_script(20))
        session.start()
        *_, done = session.speak(SENTENCE, " Hello you.")
        assert isinstance(done, dict)
        assert done["degraded_chunks"] == [0]
        assert done["num_samples"] == 29 * 2048

    def test_a_chunk_that_went_on_after_it_had_failed(self, session: Session) -> None:
        """It ended where the engine had failed, and the rest of its text was missing."""
        failing = Script(speech_ids(30), error=GenerationFailed("lost"), fail_at=20 * 7)
        session.server.engine.enqueue(failing)
        session.start()
        *_, done = session.speak(SENTENCE, " Hello you.")
        assert isinstance(done, dict)
        assert done["degraded_chunks"] == []
        assert done["num_samples"] == (30 + 9) * 2048

    def test_the_log(self, session: Session, caplog: pytest.LogCaptureFixture) -> None:
        """A line for each utterance and one for the session, and no text in them."""
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            started = session.start()
            session.speak("A secret text.")
            session.socket.close()
            wait_until(lambda: "ended" in caplog.text)
        lines = [record.getMessage() for record in caplog.records]
        name = started["session_id"]
        assert lines == [
            f"request={name}-0 outcome=done voice=rms format=pcm chunks=1 attempts=1 degraded=0 "
            "tokens=85 samples=24576",
            f"session={name} ended utterances=1",
        ]


class TestCancel:
    def hold(self, session: Session, num_chunks: int, *, num_frames: int) -> None:
        held = held_script(short_script(60), asyncio.Event(), num_free_frames=num_frames)
        session.server.engine.enqueue(*[held] * num_chunks)

    def test_in_the_middle(self, session: Session) -> None:
        """Nothing is heard after it, and the engine is free at once."""
        self.hold(session, LIVE_LOOK_AHEAD, num_frames=10)
        session.start()
        session.send(delta(f"{SENTENCE} " * 8), DONE)
        session.until("chunk.start")
        num_bytes = 0
        while num_bytes < 9 * FRAME_BYTES:
            num_bytes += len(session.receive())
        engine = session.server.engine
        wait_until(lambda: engine.num_active == LIVE_LOOK_AHEAD)
        session.send(CANCEL)
        received = session.until("audio.done")
        assert (engine.num_active, engine.num_aborted) == (0, LIVE_LOOK_AHEAD)
        num_bytes += sum(len(each) for each in received if isinstance(each, bytes))
        assert received[-1] == {
            "type": "audio.done",
            "utterance": 0,
            # Of finished chunks, of which there are none.
            "usage": usage(0, 0),
            "num_samples": num_bytes // 2,
            "degraded_chunks": [],
            "is_cancelled": True,
        }
        session.check_alive()

    def test_before_any_sound_and_with_text_that_still_comes(self, session: Session) -> None:
        self.hold(session, 1, num_frames=0)
        session.start()
        session.send(delta(f"{SENTENCE} And"))
        wait_until(lambda: session.server.engine.num_active == 1)
        session.send(CANCEL)
        (done,) = session.until("audio.done")
        assert isinstance(done, dict)
        assert (done["utterance"], done["num_samples"], done["is_cancelled"]) == (0, 0, True)
        session.check_alive()

    def test_with_utterances_that_wait(self, session: Session) -> None:
        self.hold(session, 1, num_frames=0)
        session.start()
        session.send(delta(SENTENCE), DONE, delta(SENTENCE), DONE, delta("Hel"))
        wait_until(lambda: session.server.engine.num_active == 1)
        session.send(CANCEL)
        cancelled = [session.receive() for _ in range(3)]
        assert [
            (each["type"], each["utterance"], each["is_cancelled"])
            for each in cancelled
            if isinstance(each, dict)
        ] == [("audio.done", index, True) for index in range(3)]
        session.check_alive()

    def test_with_nothing_to_cancel(self, session: Session) -> None:
        session.send(CANCEL)
        session.start()
        session.send(CANCEL)
        session.check_alive()
        session.send(CANCEL, CANCEL)
        session.check_alive()


MISTAKES: list[tuple[str, str | None, str]] = [
    ("", None, "The message is no event of this protocol: Invalid JSON: "),
    ("{", None, "The message is no event of this protocol: Invalid JSON: "),
    ("[" * 100_000, None, "The message is no event of this protocol: Invalid JSON: "),
    ("[]", None, "The message is no event of this protocol: Input should be an object."),
    ("7", None, "The message is no event of this protocol: Input should be an object."),
    ("{}", None, "The message is no event of this protocol: Unable to extract tag "),
    ('{"type": "stop"}', None, "The message is no event of this protocol: Input tag 'stop' "),
    ('{"type": "x%s"}' % ("y" * 900_000), None, "The message is no event of this protocol: "),
    ('{"type": 5}', None, "The message is no event of this protocol: Input tag '5' "),
    ('{"type": "text.delta"}', "text", "'text': Field required."),
    ('{"type": "text.delta", "text": 5}', "text", "'text': Input should be a valid string."),
    ('{"type": "text.delta", "text": null}', "text", "'text': Input should be a valid string."),
    ('{"type": "session.start", "voice": 5}', "voice", "'voice': Input should be a valid string."),
    ('{"type": "session.start", "speed": 9}', "speed", "'speed': Input should be less than or "),
    ('{"type": "session.start", "seed": "1"}', "seed", "'seed': Input should be a valid integer."),
]


class TestMistakes:
    """Each is one error, and the session goes on."""

    @pytest.mark.parametrize(
        ("message", "param", "start"), MISTAKES, ids=[message[:40] for message, _, _ in MISTAKES]
    )
    def test_messages(self, session: Session, message: str, param: str | None, start: str) -> None:
        session.socket.send_text(message)
        event = session.receive()
        assert isinstance(event, dict)
        assert (event["type"], event["utterance"]) == ("error", None)
        error = event["error"]
        assert error["message"].startswith(start)
        assert len(error["message"]) < 300
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
        assert error["code"] == "invalid_event"
        session.start()
        session.check_alive()

    def test_binary(self, session: Session) -> None:
        session.start()
        session.socket.send_bytes(b'{"type": "cancel"}')
        assert session.receive() == error_event(
            "Binary messages are not for the server: send events as JSON text.",
            None,
            "invalid_event",
        )
        session.check_alive()

    @pytest.mark.parametrize(
        ("event", "reason"),
        [
            (delta("Hello."), "'session.start' comes first"),
            (FLUSH, "there is no text before it"),
            (DONE, "there is no text before it"),
        ],
    )
    def test_before_the_start(self, session: Session, event: dict[str, Any], reason: str) -> None:
        session.send(event)
        message = f"{event['type']!r} is out of order: {reason}."
        assert session.receive() == error_event(message, "type", "event_out_of_order")
        session.start()
        session.check_alive()

    @pytest.mark.parametrize("event", [FLUSH, DONE])
    def test_an_end_without_a_beginning(self, session: Session, event: dict[str, Any]) -> None:
        session.start()
        session.check_alive()
        session.send(event)
        message = f"{event['type']!r} is out of order: there is no text before it."
        assert session.receive() == error_event(message, "type", "event_out_of_order")
        session.check_alive()

    def test_a_start_in_the_middle(self, session: Session) -> None:
        session.start()
        session.send(delta("Hel"), {**START, "voice": "slt"})
        assert session.receive() == error_event(
            "'session.start' is out of order: an utterance is being spoken; 'cancel' ends it.",
            "type",
            "event_out_of_order",
        )
        assert session.speak("lo you.")[-1] == done_event(0, 10, 64, 9 * 2048)
        assert session.server.engine.requests[0].prompt_token_ids[1] == 5

    @pytest.mark.parametrize(
        ("options", "param", "code"),
        [
            ({"voice": "nobody"}, "voice", "voice_not_found"),
            ({"response_format": "ogg"}, "response_format", "unsupported_response_format"),
            ({"model": "gpt-4"}, "model", "model_not_found"),
        ],
    )
    def test_a_start_with_what_is_not_there(
        self, session: Session, options: dict[str, str], param: str, code: str
    ) -> None:
        session.send({**START, **options})
        event = session.receive()
        assert isinstance(event, dict)
        assert (event["error"]["param"], event["error"]["code"]) == (param, code)
        session.send(delta("Hello."))
        event = session.receive()
        assert isinstance(event, dict)
        assert event["error"]["code"] == "event_out_of_order"
        session.start()
        session.check_alive()

    def test_fields_without_effect_are_told_back(self, session: Session) -> None:
        """A typo in `temperature` was taken, and nobody was told."""
        started = session.start(instructions="Softly.", temprature=0.1, speed=1.0)
        assert started["ignored_fields"] == ["instructions", "temprature"]

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("text", ["", "... ?!", "😀", "<laugh>"])
    def test_nothing_to_speak(self, session: Session, text: str, name: str) -> None:
        """No header of a format without any sound in it either."""
        session.start(response_format=name)
        assert session.speak(text) == [
            {
                "type": "error",
                "utterance": 0,
                "error": {
                    "message": str(nothing_to_speak()),
                    "type": "invalid_request_error",
                    "param": "input",
                    "code": "nothing_to_speak",
                },
            }
        ]
        session.start()
        session.check_alive()

    def test_a_text_that_gets_too_long(self) -> None:
        """What came before is spoken; the rest would have a hole where the refused part was."""
        settings = Settings(tts_max_input_chars=20)
        with open_session(FakeServer(settings=settings)) as session:
            session.start()
            session.send(delta("Hello you"), delta(" and everybody"), delta(" else."), FLUSH, DONE)
            received = session.until("audio.done")
            error = error_event(
                "The input has 23 characters; at most 20 are allowed.",
                "text",
                "string_above_max_length",
            )
            assert error in received
            received.remove(error)
            start, chunk, sound, done = received
            assert chunk == chunk_event(0, 0, "Hello you.", 0)
            assert done == done_event(0, 10, 64, 9 * 2048)
            session.check_alive()

    def test_a_delta_that_is_too_long(self) -> None:
        """It made an utterance, which then had nothing to speak: two errors."""
        settings = Settings(tts_max_input_chars=20)
        with open_session(FakeServer(settings=settings)) as session:
            session.start()
            session.send(delta("a" * 21), delta("b"), DONE)
            assert session.receive() == error_event(
                "The input has 21 characters; at most 20 are allowed.",
                "text",
                "string_above_max_length",
            )
            session.check_alive()

    def test_too_many_utterances_at_once(self, session: Session) -> None:
        """The rest of a refused one became an utterance as soon as there was room."""
        gate = asyncio.Event()
        session.server.engine.enqueue(replace(short_script(9), gate=gate))
        session.start()
        for _ in range(1 + MAX_WAITING_UTTERANCES):
            session.send(delta("Hello you."), DONE)
        session.send(delta("Too "))
        assert session.receive() == error_event(
            "8 utterances are waiting to be spoken; wait for an 'audio.done'.",
            "type",
            "too_many_utterances",
        )
        session.open_gate(gate)
        session.until("audio.done")
        session.send(delta("much."), FLUSH, DONE)
        for index in range(1, 1 + MAX_WAITING_UTTERANCES):
            assert session.until("audio.done")[-1] == done_event(index, 10, 64, 9 * 2048)
        session.check_alive()


class TestFailures:
    def test_the_engine_dies_in_the_middle(self, session: Session) -> None:
        dying = Script(speech_ids(30), error=EngineDead("the speech engine has died"), fail_at=140)
        session.server.engine.enqueue(dying)
        session.start()
        session.send(delta(SENTENCE + " And"))
        received = session.until("error")
        assert isinstance(received[2], bytes)
        assert received[-1] == {
            "type": "error",
            "utterance": 0,
            "error": {
                "message": "the speech engine has died",
                "type": "service_unavailable_error",
                "param": None,
                "code": "engine_unavailable",
            },
        }
        # The rest of its text is dropped.
        session.send(delta(" more"), FLUSH, DONE)
        (failed,) = session.speak("Hello you.")
        assert isinstance(failed, dict)
        assert (failed["utterance"], failed["error"]["code"]) == (1, "engine_unavailable")
        assert session.client.get("/ready").status_code == 503

    def test_the_engine_dies_between_two_chunks(self, session: Session) -> None:
        """Its utterance never ended: every event was refused, the end of the text too."""
        session.start()
        session.send(delta(SENTENCE + " And"))
        wait_until(lambda: len(session.server.engine.requests) == 1)
        wait_until(lambda: session.server.engine.num_active == 0)
        session.server.engine.is_alive = False
        session.server.engine.enqueue(Script((), error=EngineDead("it is dead")))
        session.send(delta(" more."), DONE)
        *_, failed = session.until("error")
        assert isinstance(failed, dict)
        assert (failed["utterance"], failed["error"]["message"]) == (0, "it is dead")

    def test_one_utterance_fails_and_the_next_does_not(self) -> None:
        settings = Settings(tts_on_failure="error", tts_max_attempts=1)
        with open_session(FakeServer(settings=settings)) as session:
            session.server.engine.enqueue(Script((), error=GenerationFailed("lost")))
            session.start()
            session.send(delta(SENTENCE + " And"))
            (failed,) = session.until("error")
            assert isinstance(failed, dict)
            assert (failed["utterance"], failed["error"]["code"]) == (0, "generation_failed")
            # The rest of its text is not spoken by itself.
            session.send(delta(" more"), FLUSH, delta(" and more."), DONE)
            session.check_alive()

    def test_it_fails_while_its_last_text_is_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The whole next utterance was dropped as if it were the rest of this one."""
        server = FakeServer(settings=Settings(tts_max_attempts=1))
        with open_session(server) as session:
            self.fail_late(session, monkeypatch)
            session.check_alive()

    def fail_late(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        gate, has_begun, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        failing = Script((), error=GenerationFailed("lost"), gate=gate)
        session.server.engine.enqueue(failing)
        session.start()
        session.send(delta(SENTENCE + " And"))
        wait_until(lambda: session.server.engine.num_active == 1)
        synthesizer = session.server.runtime.synthesizer
        cut = synthesizer.run_text

        async def cut_late(function: Any) -> list[str]:
            has_begun.set()
            await may_end.wait()
            return await cut(function)

        monkeypatch.setattr(synthesizer, "run_text", cut_late)
        session.send(DONE)
        wait_until(has_begun.is_set)
        session.open_gate(gate)
        (failed,) = session.until("error")
        assert isinstance(failed, dict)
        assert (failed["utterance"], failed["error"]["code"]) == (0, "generation_failed")
        session.open_gate(may_end)

    @pytest.mark.parametrize("event", [delta(" And more"), DONE])
    def test_a_bug_where_text_is_cut(
        self,
        session: Session,
        event: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The connection just broke, and no line of the log had the session's id."""

        async def fail(function: Any) -> list[str]:
            raise ValueError("a bug")

        session.server.engine.enqueue(Script(speech_ids(60), hangs_at_end=True))
        started = session.start()
        session.send(delta(SENTENCE + " And"))
        session.until("chunk.start")
        monkeypatch.setattr(session.server.runtime.synthesizer, "run_text", fail)
        session.send(event)
        with pytest.raises(WebSocketDisconnect) as closed:
            session.until("audio.done")
        assert closed.value.code == 1011
        assert f"session={started['session_id']} failed unexpectedly" in caplog.text
        wait_until(lambda: session.server.engine.num_active == 0)

    def test_a_bug_where_it_is_spoken(
        self, session: Session, caplog: pytest.LogCaptureFixture
    ) -> None:
        session.server.engine.enqueue(Script(speech_ids(30), error=ValueError("a bug"), fail_at=70))
        started = session.start()
        session.send(delta(SENTENCE), DONE)
        with pytest.raises(WebSocketDisconnect) as closed:
            session.until("audio.done")
        assert closed.value.code == 1011
        assert f"session={started['session_id']} failed unexpectedly" in caplog.text
        # What comes after that is not answered, and not an error of ours.
        session.send(DONE, START)

    def test_not_ready(self) -> None:
        server = FakeServer(is_loaded=False)
        with (
            server.client() as client,
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(PATH),
        ):
            pass
        assert (denied.value.status_code, denied.value.headers["retry-after"]) == (503, "5")
        assert denied.value.headers["x-request-id"].startswith("req_")
        assert denied.value.json()["error"]["code"] == "engine_unavailable"

    def test_the_engine_is_dead(self) -> None:
        server = FakeServer()
        server.engine.is_alive = False
        with (
            server.client() as client,
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(PATH),
        ):
            pass
        assert (denied.value.status_code, denied.value.headers["retry-after"]) == (503, "30")

    @pytest.mark.parametrize("num_free_frames", [0, 10])
    def test_a_caller_who_leaves(self, num_free_frames: int) -> None:
        with open_session(FakeServer()) as session:
            engine = session.server.engine
            held = held_script(short_script(60), asyncio.Event(), num_free_frames=num_free_frames)
            engine.enqueue(*[held] * 9)
            session.start()
            session.send(delta(f"{SENTENCE} " * 8), DONE)
            wait_until(lambda: engine.num_active == LIVE_LOOK_AHEAD)
            if num_free_frames:
                session.until("chunk.start")
            session.socket.close()
            wait_until(lambda: engine.num_active == 0)
            assert engine.num_aborted == LIVE_LOOK_AHEAD


class TestSessionsOfACaller:
    def test_one_more_is_refused_and_a_closed_one_makes_room(self) -> None:
        server = FakeServer(settings=Settings(tts_max_sessions_per_key=2))
        with server.client() as client:
            with client.websocket_connect(PATH), client.websocket_connect("/audio/stream"):
                with (
                    pytest.raises(WebSocketDenialResponse) as denied,
                    client.websocket_connect(PATH),
                ):
                    pass
                assert (denied.value.status_code, denied.value.headers["retry-after"]) == (429, "5")
                assert denied.value.json()["error"] == {
                    "message": "You have 2 WebSocket sessions open, as many as one caller may "
                    "have; close one first.",
                    "type": "rate_limit_error",
                    "param": None,
                    "code": "rate_limit_exceeded",
                }
            with client.websocket_connect(PATH), client.websocket_connect(PATH):
                pass

    def test_each_key_has_its_own(self) -> None:
        settings = Settings(api_keys=SecretStr("abcdefgh,ijklmnop"), tts_max_sessions_per_key=1)
        with FakeServer(settings=settings).client() as client:
            first, second = ({"authorization": f"Bearer {key}"} for key in ("abcdefgh", "ijklmnop"))
            with (
                client.websocket_connect(PATH, headers={**first}),
                client.websocket_connect(PATH, headers={**second}),
                pytest.raises(WebSocketDenialResponse),
                client.websocket_connect(PATH, headers={**first}),
            ):
                pass


def expired_event(limit_sec: str) -> Received:
    message = f"A session lasts {limit_sec} seconds here; open another one."
    return error_event(message, None, "session_expired")


class Clock:
    """Lets a session's time be over, or the server stop, when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_stopping: bool) -> None:
        self._is_stopping = is_stopping
        self._is_over = asyncio.Event()
        self._has_begun = threading.Event()
        wait_for_end, begin_end = StreamSession._wait_for_end, StreamSession._begin_end

        async def wait(session: StreamSession) -> Any:
            if not is_stopping:
                await self._is_over.wait()
                limited = session._runtime.settings.model_copy(update={"tts_max_session_sec": 0.0})
                session._runtime.settings = limited
            return await wait_for_end(session)

        async def begin_and_tell(session: StreamSession, end: Any) -> None:
            await begin_end(session, end)
            self._has_begun.set()

        monkeypatch.setattr(StreamSession, "_wait_for_end", wait)
        monkeypatch.setattr(StreamSession, "_begin_end", begin_and_tell)

    def run_out(self, session: Session) -> None:
        """Returns when the end has begun, and what is spoken has all of its text."""
        if self._is_stopping:
            session.call(session.server.runtime.begin_drain)
        else:
            session.open_gate(self._is_over)
        assert self._has_begun.wait(WAIT_LIMIT_SEC)

    def check_end(self, session: Session) -> None:
        """What its caller is told."""
        if self._is_stopping:
            message = "The server is stopping; open another session."
            event = error_event(message, None, "shutting_down")
            assert isinstance(event, dict)
            event["error"]["type"] = "service_unavailable_error"
        else:
            event = expired_event("0")
        assert session.receive() == event
        with pytest.raises(WebSocketDisconnect) as closed:
            session.receive()
        assert closed.value.code == (1001 if self._is_stopping else 1000)


class TestEnd:
    @pytest.fixture(params=[False, True], ids=["expired", "stopping"])
    def clock(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
        return Clock(monkeypatch, is_stopping=request.param)

    def hold(self, session: Session, *events: dict[str, Any]) -> asyncio.Event:
        """An utterance that is being spoken until the gate opens."""
        gate = asyncio.Event()
        session.server.engine.enqueue(held_script(short_script(30), gate))
        session.start()
        session.send(*events)
        wait_until(lambda: session.server.engine.num_active == 1)
        return gate

    @pytest.mark.parametrize("is_started", [False, True])
    def test_when_nothing_is_spoken(self, clock: Clock, session: Session, is_started: bool) -> None:
        if is_started:
            session.start()
            session.check_alive()
        clock.run_out(session)
        clock.check_end(session)

    def test_what_is_spoken_comes_to_its_end(self, clock: Clock, session: Session) -> None:
        gate = self.hold(session, delta(SENTENCE), DONE, delta("Not this one."), DONE)
        clock.run_out(session)
        session.send(delta("Nor this."), DONE, START)
        session.open_gate(gate)
        assert session.until("audio.done", "error")[-1] == done_event(0, 32, 211, 30 * 2048)
        clock.check_end(session)

    def test_text_that_never_ends(self, clock: Clock, session: Session) -> None:
        """A session whose text stays open would last as long as its caller likes."""
        gate = self.hold(session, delta(f"{SENTENCE} "), FLUSH)
        clock.run_out(session)
        session.open_gate(gate)
        assert session.until("audio.done", "error")[-1] == done_event(0, 32, 211, 30 * 2048)
        clock.check_end(session)

    def test_it_can_be_cancelled_still(self, clock: Clock, session: Session) -> None:
        self.hold(session, delta(SENTENCE), DONE)
        clock.run_out(session)
        session.send(CANCEL)
        (done,) = session.until("audio.done")
        assert not isinstance(done, bytes)
        assert done["is_cancelled"]
        clock.check_end(session)

    def test_over_a_real_connection(self) -> None:
        server = FakeServer(settings=Settings(tts_max_session_sec=0.05))
        with ServedFakes(server) as served, connect(served.socket_url) as connection:
            assert listen(connection, "error") == [expired_event("0.05")]
            with pytest.raises(ConnectionClosedOK) as closed:
                connection.recv(WAIT_LIMIT_SEC)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


ENDLESS = Script(speech_ids(12), hangs_at_end=True)


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    # Before the environment of a test is cleaned, so without reading it.
    with ServedFakes(FakeServer(settings=Settings.model_construct())) as served:
        yield served


def say(connection: ClientConnection, *events: dict[str, Any]) -> None:
    for event in events:
        connection.send(json.dumps(event))


def listen(connection: ClientConnection, *types: str) -> list[Received]:
    """All messages up to the first event of these types."""
    received: list[Received] = []
    while True:
        message = connection.recv(WAIT_LIMIT_SEC)
        received.append(message if isinstance(message, bytes) else json.loads(message))
        last = received[-1]
        if isinstance(last, dict) and last["type"] in types:
            return received


@contextmanager
def open_bare(served: ServedFakes) -> Iterator[socket.socket]:
    """A connection with a session on it and no library behind it, which answers to nothing."""
    with served.connect() as connection:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {PATH} HTTP/1.1",
            "Host: 127.0.0.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(12) == b"HTTP/1.1 101"
        yield connection


def text_frame(event: dict[str, Any]) -> bytes:
    """A masked text message (RFC 6455, section 5.2), its mask being zeros."""
    data = json.dumps(event).encode()
    return struct.pack("!BBH4x", 0x81, 0xFE, len(data)) + data


async def count_tasks() -> int:
    return len(asyncio.all_tasks())


class TestTransport:
    """A real uvicorn and the `websockets` client."""

    def test_round_trip(self, served: ServedFakes) -> None:
        with connect(served.socket_url) as connection:
            # Audio hardly shrinks, and compressing it would hold up everybody.
            assert connection.protocol.extensions == []
            say(connection, START)
            (started,) = listen(connection, "session.started", "error")
            say(connection, *map(delta, SENTENCE), DONE)
            received = listen(connection, "audio.done", "error")
        assert received[:2] == [
            {"type": "audio.start", "utterance": 0},
            chunk_event(0, 0, SENTENCE, 0),
        ]
        assert received[-1] == done_event(0, 32, 211, 30 * 2048)
        sound = b"".join(each for each in received if isinstance(each, bytes))
        assert len(sound) == 30 * FRAME_BYTES

    def test_cancel(self, served: ServedFakes) -> None:
        gate = asyncio.Event()
        held = held_script(short_script(60), gate, num_free_frames=10)
        served.fakes.engine.enqueue(held)
        with connect(served.socket_url) as connection:
            say(connection, START, delta(SENTENCE), DONE)
            listen(connection, "chunk.start")
            assert served.fakes.engine.num_active == 1
            say(connection, CANCEL)
            *_, done = listen(connection, "audio.done")
            assert isinstance(done, dict)
            assert done["is_cancelled"]
            assert served.fakes.engine.num_active == 0
            say(connection, delta("Hello you."), DONE)
            assert listen(connection, "audio.done")[-1] == done_event(1, 10, 64, 9 * 2048)

    def test_a_message_that_is_too_long(self, served: ServedFakes) -> None:
        """uvicorn takes 16 MiB from every caller unless told otherwise."""
        with connect(served.socket_url) as connection:
            frame = json.dumps(delta(""))
            connection.send(frame[:-2] + "a" * (MAX_MESSAGE_BYTES - len(frame)) + frame[-2:])
            (refused,) = listen(connection, "error")

            def overdo() -> None:
                connection.send("a" * (MAX_MESSAGE_BYTES + 1))
                connection.recv(WAIT_LIMIT_SEC)

            # It may be told while it is still sending.
            with pytest.raises(ConnectionClosedError) as closed:
                overdo()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        with connect(served.socket_url) as connection:
            say(connection, START)
            listen(connection, "session.started")

    def test_pings_of_the_caller_are_answered(self, served: ServedFakes) -> None:
        with connect(served.socket_url) as connection:
            assert connection.ping().wait(WAIT_LIMIT_SEC)

    @pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
    def test_a_caller_who_vanishes(self, served: ServedFakes, is_reset: bool) -> None:
        """Without a closing handshake, in the middle of an utterance."""
        engine = served.fakes.engine
        engine.enqueue(*[ENDLESS] * LIVE_LOOK_AHEAD)
        num_tasks = served.run(count_tasks())
        with open_bare(served) as connection:
            connection.sendall(text_frame(START) + text_frame(delta(f"{SENTENCE} " * 8)))
            wait_until(lambda: engine.num_active == LIVE_LOOK_AHEAD)
            if is_reset:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wait_until(lambda: engine.num_active == 0)
        # Those of the test before may still have been ending when they were counted.
        wait_until(lambda: served.run(count_tasks()) <= num_tasks)

    def test_a_caller_who_answers_no_ping(self, caplog: pytest.LogCaptureFixture) -> None:
        """One whose cable was pulled: no packet ever says so."""
        server = FakeServer()
        server.engine.enqueue(*[ENDLESS] * LIVE_LOOK_AHEAD)
        with (
            ServedFakes(server, ping_sec=0.05) as served,
            caplog.at_level(logging.INFO, logger="orpheus_server"),
            open_bare(served) as connection,
        ):
            connection.sendall(text_frame(START) + text_frame(delta(f"{SENTENCE} " * 8)))
            wait_until(lambda: server.engine.num_aborted == LIVE_LOOK_AHEAD)
            wait_until(lambda: "ended utterances=1" in caplog.text)
        assert server.engine.num_active == 0

    def test_a_caller_who_reads_nothing_and_answers_no_ping(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """uvicorn waits for what it has written to be taken, and the session with it, for ever."""
        server = FakeServer()
        with (
            ServedFakes(server, ping_sec=0.2) as served,
            caplog.at_level(logging.INFO, logger="orpheus_server"),
            open_bare(served) as connection,
        ):
            connection.sendall(text_frame(START))
            connection.sendall(text_frame(delta(f"{SENTENCE} " * 10)) * 90)
            wait_until(lambda: "ended utterances=1" in caplog.text)
        assert server.engine.num_active == 0
        # The text has 300 chunks; a few more than are heard are made.
        assert len(server.engine.requests) < 150

    def test_a_caller_who_reads_nothing_is_not_made_more_for(self, served: ServedFakes) -> None:
        engine = served.fakes.engine
        engine.requests.clear()

        async def count() -> int:
            return len(engine.requests)

        with open_bare(served) as connection:
            connection.sendall(text_frame(START))
            connection.sendall(text_frame(delta(f"{SENTENCE} " * 10)) * 90)
            wait_until(lambda: len(engine.requests) > LIVE_LOOK_AHEAD and engine.num_active == 0)
            num_made = served.run(count())
            assert num_made < 150
        wait_until(lambda: engine.num_active == 0)
        assert served.run(count()) <= num_made + LIVE_LOOK_AHEAD

    def test_the_documented_client(self, served: ServedFakes) -> None:
        text = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
        _, _, rest = text.partition("```python\n")
        code, _, _ = rest.partition("```")
        assert code.count("\n") <= 28
        documented = "ws://127.0.0.1:8880/v1/audio/stream"
        assert documented in code
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code.replace(documented, served.socket_url)],
            capture_output=True,
            timeout=WAIT_LIMIT_SEC,
            check=True,
        )
        events = done.stderr.decode().splitlines()
        assert events[0].startswith("{'type': 'session.started', ")
        assert events[2].endswith(
            "'text': 'Hello there. This is spoken while it is written.', 'start_sample': 0}"
        )
        assert f"'num_samples': {len(done.stdout) // 2}, " in events[-1]

    def test_not_ready(self) -> None:
        server = FakeServer(is_loaded=False)
        with (
            ServedFakes(server) as served,
            pytest.raises(InvalidStatus) as refused,
            connect(served.socket_url),
        ):
            pass
        response = refused.value.response
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert json.loads(response.body)["error"]["code"] == "engine_unavailable"

    def test_the_server_ends_in_the_middle(self) -> None:
        server = FakeServer()
        server.engine.enqueue(ENDLESS)
        with ServedFakes(server) as served, connect(served.socket_url) as connection:
            say(connection, START, delta(SENTENCE), DONE)
            listen(connection, "chunk.start")
            served.stop()
            with pytest.raises(ConnectionClosedError) as closed:
                listen(connection, "audio.done")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert (server.engine.num_active, server.engine.num_aborted) == (0, 1)


class TestTurns:
    """Of utterances, beside those of everybody else."""

    @contextmanager
    def two(self, settings: Settings) -> Iterator[tuple[Session, Session, asyncio.Event]]:
        """Sessions, of which the first is being spoken until the gate opens."""
        server = FakeServer(settings=settings)
        gate = asyncio.Event()
        server.engine.enqueue(held_script(short_script(9), gate))
        with (
            server.client() as client,
            client.websocket_connect(PATH) as first_socket,
            client.websocket_connect(PATH) as second_socket,
        ):
            first = Session(server, client, first_socket)
            second = Session(server, client, second_socket)
            first.start()
            second.start()
            first.send(delta("Hello you."), DONE)
            wait_until(lambda: server.engine.num_active == 1)
            yield first, second, gate

    def test_an_utterance_waits_for_its_turn(self) -> None:
        with self.two(Settings(tts_max_streams=1)) as (first, second, gate):
            server = first.server
            second.send(delta("Hello you."), DONE)
            wait_until(lambda: server.runtime.admission.num_waiting == 1)
            assert len(server.engine.requests) == 1
            first.open_gate(gate)
            for session in (first, second):
                (*_, done) = session.until("audio.done")
                assert not isinstance(done, bytes)
                assert done["num_samples"] == 9 * 2048
            wait_until(lambda: server.runtime.admission.num_running == 0)
        assert server.engine.max_active == 1

    def test_one_that_is_refused_and_the_next_that_is_not(self) -> None:
        settings = Settings(tts_max_streams=1, tts_queue_wait_sec=0.0)
        with self.two(settings) as (first, second, gate):
            second.send(delta("Hello you."), DONE)
            (*_, refused) = second.until("error")
            assert not isinstance(refused, bytes)
            assert refused["error"]["code"] == "server_is_overloaded"
            assert refused["utterance"] == 0
            first.open_gate(gate)
            first.until("audio.done")
            second.send(delta("Hello you."), DONE)
            (*_, done) = second.until("audio.done")
            assert not isinstance(done, bytes)
            assert done["utterance"] == 1


class TestElsewhere:
    @pytest.mark.parametrize("path", ["/none", "/health", "/v1/audio/speech"])
    def test_there_is_no_socket(self, path: str) -> None:
        """It was refused with an empty body."""
        with (
            FakeServer().client() as client,
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(path),
        ):
            pass
        assert denied.value.status_code == 404
        assert denied.value.json()["error"]["code"] == "not_found"
        assert denied.value.headers["x-request-id"].startswith("req_")


class TestPlaces:
    """In the engine, which only speech that is being made takes."""

    def test_a_writer_who_pauses_takes_none(self) -> None:
        """As many idle sessions as the capacity kept everybody else out for an hour."""
        server = FakeServer(settings=Settings(tts_max_streams=1, tts_queue_wait_sec=0.0))
        with server.client() as client, client.websocket_connect(PATH) as socket:
            session = Session(server, client, socket)
            session.start()
            session.send(delta("Hello "))
            wait_until(lambda: bool(server.runtime.admission._turns))
            body = {"input": "Hello you.", "response_format": "pcm"}
            assert client.post("/v1/audio/speech", json=body).status_code == 200
            session.send(delta("you. "), FLUSH)
            session.until("chunk.start")
            wait_until(lambda: server.runtime.admission.num_running == 0)
            assert client.post("/v1/audio/speech", json=body).status_code == 200
            session.send(delta("And more."), DONE)
            (*_, done) = session.until("audio.done")
            assert not isinstance(done, bytes)
            assert done["num_samples"] > 0
