"""`WS /v1/audio/stream`: the sequence of events, invalid events, and clients that disconnect."""

import asyncio
import io
import logging
from dataclasses import replace
from typing import Any

import av
import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from orpheus_server.api.realtime.text_intake import MAX_WAITING_UTTERANCES
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.settings import Settings
from orpheus_server.synthesis.synthesizer import LIVE_LOOK_AHEAD
from orpheus_server.text.chunking import blank_text
from orpheus_server.text.front_end import PreparedText
from tests.support.app import (
    NO_WAIT,
    FakeServer,
    endless_script,
    held_script,
    short_script,
    speech_ids,
)
from tests.support.realtime import (
    DONE,
    FLUSH,
    FRAME_BYTES,
    PATH,
    SENTENCE,
    START,
    Session,
    chunk_event,
    delta,
    done_event,
    error_event,
    open_session,
)
from tests.support.served import wait_until

FORMATS = ["wav", "pcm", "mp3", "opus", "aac", "flac"]


class TestSequence:
    @pytest.mark.parametrize("path", [PATH, "/audio/stream"])
    def test_from_text_to_audio(self, path: str) -> None:
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
            chunk_event(0, 0, "Hello you, my friend.", 0),
            received[2],
            chunk_event(0, 1, "How are you today?", 17 * 2048),
            received[4],
            chunk_event(0, 2, "I am fine.", 32 * 2048),
            received[6],
            done_event(0, 43, 283, 40 * 2048),
        ]
        assert [len(audio) for audio in received[2:8:2]] == [
            *(17 * FRAME_BYTES, 15 * FRAME_BYTES, 8 * FRAME_BYTES)
        ]

    @pytest.mark.parametrize("name", FORMATS)
    def test_the_audio_equals_that_of_the_http_route(self, session: Session, name: str) -> None:
        body = {"input": SENTENCE, "response_format": name, "stream": True, "seed": 5}
        response = session.client.post("/v1/audio/speech", json=body)
        assert session.start(response_format=name, seed=5)["response_format"] == name
        _, _, audio, done = session.speak(SENTENCE)
        assert audio == response.content
        assert done == done_event(0, 32, 211, 30 * 2048)
        if name != "pcm":
            with av.open(io.BytesIO(audio), "r") as container:
                assert container.streams.audio[0].channels == 1

    def test_the_length_of_deltas_makes_no_difference(self, session: Session) -> None:
        text = "Abcdefg hijklmno, pqrstuv. Wxyz abcd <laugh> efgh! " * 3
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
        _, _, audio, done = session.speak(SENTENCE)
        assert done == done_event(0, 32, 211, 15 * 2048)
        assert len(audio) == 15 * FRAME_BYTES

    def test_utterances_in_a_row(self, session: Session) -> None:
        """Options may change between two utterances."""
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

    def test_audio_before_the_text_has_ended(self, session: Session) -> None:
        """The text of a language model is spoken while the model writes the rest."""
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
        """Text is spoken up to a pause in the middle of a sentence."""
        session.start()
        session.send(delta("Hello you"), FLUSH)
        start, chunk = session.until("chunk.start")
        assert chunk == chunk_event(0, 0, "Hello you.", 0)
        session.send(FLUSH, delta(" my friend"), FLUSH)
        received = session.until("chunk.start")
        assert received[1:] == [chunk_event(0, 1, "my friend.", 9 * 2048)]
        session.send(DONE)
        assert session.until("audio.done")[-1] == done_event(0, 20, 128, 18 * 2048)

    def test_a_chunk_that_was_sent_before_it_failed(self, session: Session) -> None:
        session.server.engine.enqueue(endless_script(20))
        session.start()
        *_, done = session.speak(SENTENCE, " Hello you.")
        assert isinstance(done, dict)
        assert done["degraded_chunks"] == [0]
        assert done["num_samples"] == 29 * 2048

    def test_a_chunk_that_continues_after_a_failure(self, session: Session) -> None:
        """Regression: it ended where the engine had failed, without the rest of its text."""
        failing = Script(speech_ids(30), error=GenerationFailed("lost"), fail_at=20 * 7)
        session.server.engine.enqueue(failing)
        session.start()
        *_, done = session.speak(SENTENCE, " Hello you.")
        assert isinstance(done, dict)
        assert done["degraded_chunks"] == []
        assert done["num_samples"] == (30 + 9) * 2048

    def test_the_log(self, session: Session, caplog: pytest.LogCaptureFixture) -> None:
        """One line for each utterance and one for the session, without any text."""
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


def test_null_blank_and_minus_one_are_left_out(session: Session) -> None:
    """Clients that send every field were rejected, or got a voice that does not exist."""
    fields: dict[str, Any] = {"voice": "", "model": " ", "seed": -1, "max_tokens": -1}
    started = session.start(**fields, speed=None, history=None, language=None)
    assert (started["voice"], started["ignored_fields"]) == ("rms", [])


MISTAKES: list[tuple[str, str | None, str]] = [
    ("", None, "Not an event of this protocol: Invalid JSON: "),
    ("{", None, "Not an event of this protocol: Invalid JSON: "),
    ("[" * 100_000, None, "Not an event of this protocol: Invalid JSON: "),
    ("[]", None, "Not an event of this protocol: Input should be an object."),
    ("7", None, "Not an event of this protocol: Input should be an object."),
    ("{}", None, "Not an event of this protocol: Unable to extract tag "),
    ('{"type": "stop"}', None, "Not an event of this protocol: Input tag 'stop' "),
    ('{"type": "x%s"}' % ("y" * 900_000), None, "Not an event of this protocol: "),
    ('{"type": 5}', None, "Not an event of this protocol: Input tag '5' "),
    ('{"type": "text.delta"}', "text", "'text' is required."),
    ('{"type": "text.delta", "text": 5}', "text", "'text': Input should be a valid string."),
    ('{"type": "text.delta", "text": null}', "text", "'text' is required."),
    (
        '{"type": "session.start", "voice": 5}',
        *("voice", "'voice': Input should be a valid string or an object."),
    ),
    ('{"type": "session.start", "voice": {"name": "rms"}}', "voice", "'voice': 'id' is missing."),
    (
        '{"type": "session.start", "history": [{"role": "user"}]}',
        *("history", "'history[0]': 'content' is missing."),
    ),
    ('{"type": "session.start", "speed": 9}', "speed", "'speed': Input should be less than or "),
    ('{"type": "session.start", "seed": "1"}', "seed", "'seed': Input should be a valid integer."),
]


class TestInvalidEvents:
    """Each causes one error, and the session continues."""

    @pytest.mark.parametrize(
        ("message", "param", "start"), MISTAKES, ids=[message[:40] for message, _, _ in MISTAKES]
    )
    def test_messages(self, session: Session, message: str, param: str | None, start: str) -> None:
        session.start()
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
            "Binary messages are not accepted; send events as JSON text.",
            None,
            "invalid_event",
        )
        session.check_alive()

    @pytest.mark.parametrize(
        ("event", "reason"),
        [
            (delta("Hello."), "send 'session.start' first"),
            (FLUSH, "no text was sent before it"),
            (DONE, "no text was sent before it"),
        ],
    )
    def test_before_the_start(self, session: Session, event: dict[str, Any], reason: str) -> None:
        session.send(event)
        message = f"{event['type']!r} is out of order: {reason}."
        assert session.receive() == error_event(message, "type", "event_out_of_order")
        session.start()
        session.check_alive()

    @pytest.mark.parametrize("event", [FLUSH, DONE])
    def test_an_end_without_text(self, session: Session, event: dict[str, Any]) -> None:
        session.start()
        session.check_alive()
        session.send(event)
        message = f"{event['type']!r} is out of order: no text was sent before it."
        assert session.receive() == error_event(message, "type", "event_out_of_order")
        session.check_alive()

    def test_a_start_during_an_utterance(self, session: Session) -> None:
        session.start()
        session.send(delta("Hel"), {**START, "voice": "slt"})
        assert session.receive() == error_event(
            "'session.start' is out of order: an utterance is being spoken; 'cancel' stops it.",
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
    def test_a_start_with_an_unknown_value(
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

    def test_fields_without_effect_are_reported(self, session: Session) -> None:
        """Regression: a typo in `temperature` was ignored silently."""
        started = session.start(instructions="Softly.", temprature=0.1, speed=1.0)
        assert started["ignored_fields"] == ["instructions", "temprature"]

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("text", ["... ?!", "😀", "<laugh>"])
    def test_nothing_to_speak(self, session: Session, text: str, name: str) -> None:
        """It was an error, with which agent frameworks end a call. No audio is sent, nor the header
        of its format."""
        session.start(response_format=name)
        done = done_event(0, 0, 0, 0, num_left_out=text.count("😀"))
        assert session.speak(text) == [done]
        session.start()
        session.check_alive()

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("text", ["", " \n", "\u200b"])
    def test_a_blank_text(self, session: Session, text: str, name: str) -> None:
        session.start(response_format=name)
        assert session.speak(text) == [
            {
                "type": "error",
                "utterance": 0,
                "error": {
                    "message": str(blank_text()),
                    "type": "invalid_request_error",
                    "param": "input",
                    "code": "nothing_to_speak",
                },
            }
        ]
        session.start()
        session.check_alive()

    def test_a_text_that_gets_too_long(self) -> None:
        """The text before the rejected part is spoken; the text after it would follow a gap."""
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
            start, chunk, audio, done = received
            assert chunk == chunk_event(0, 0, "Hello you.", 0)
            assert done == done_event(0, 10, 64, 9 * 2048)
            session.check_alive()

    def test_a_delta_that_is_too_long(self) -> None:
        """Regression: it started an utterance that had nothing to speak, and caused two errors."""
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
        """Regression: the rest of a rejected text became an utterance once the queue had space."""
        gate = asyncio.Event()
        session.server.engine.enqueue(replace(short_script(9), gate=gate))
        session.start()
        for _ in range(1 + MAX_WAITING_UTTERANCES):
            session.send(delta("Hello you."), DONE)
        session.send(delta("Too "))
        assert session.receive() == error_event(
            "At most 8 utterances may wait to be spoken; send the next one after an 'audio.done'.",
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
    def test_the_engine_dies_during_a_chunk(self, session: Session) -> None:
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
        """Regression: the utterance never ended, because even its `text.done` was rejected."""
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
            # The rest of its text does not become an utterance of its own.
            session.send(delta(" more"), FLUSH, delta(" and more."), DONE)
            session.check_alive()

    def test_it_fails_while_its_last_text_is_split(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Regression: the whole next utterance was dropped as if it were the rest of this one."""
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
        synthesizer = session.server.runtime.get_synthesizer()
        split = synthesizer.run_text

        async def split_late(function: Any) -> list[PreparedText]:
            has_begun.set()
            await may_end.wait()
            return await split(function)

        monkeypatch.setattr(synthesizer, "run_text", split_late)
        session.send(DONE)
        wait_until(has_begun.is_set)
        session.open_gate(gate)
        (failed,) = session.until("error")
        assert isinstance(failed, dict)
        assert (failed["utterance"], failed["error"]["code"]) == (0, "generation_failed")
        session.open_gate(may_end)

    @pytest.mark.parametrize("event", [delta(" And more"), DONE])
    def test_a_bug_while_text_is_split(
        self,
        session: Session,
        event: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Regression: the connection broke without a log line with the session's id."""

        async def fail(function: Any) -> list[PreparedText]:
            raise ValueError("a bug")

        session.server.engine.enqueue(Script(speech_ids(60), hangs_at_end=True))
        started = session.start()
        session.send(delta(SENTENCE + " And"))
        session.until("chunk.start")
        monkeypatch.setattr(session.server.runtime.get_synthesizer(), "run_text", fail)
        session.send(event)
        with pytest.raises(WebSocketDisconnect) as closed:
            session.until("audio.done")
        assert closed.value.code == 1011
        assert f"session={started['session_id']} failed unexpectedly" in caplog.text
        wait_until(lambda: session.server.engine.num_active == 0)

    def test_a_bug_during_speech(self, session: Session, caplog: pytest.LogCaptureFixture) -> None:
        session.server.engine.enqueue(Script(speech_ids(30), error=ValueError("a bug"), fail_at=70))
        started = session.start()
        session.send(delta(SENTENCE), DONE)
        with pytest.raises(WebSocketDisconnect) as closed:
            session.until("audio.done")
        assert closed.value.code == 1011
        assert f"session={started['session_id']} failed unexpectedly" in caplog.text
        # Events after that are ignored and cause no error in the server.
        session.send(DONE, START)

    def test_not_ready(self) -> None:
        server = FakeServer(is_loaded=False, settings=NO_WAIT)
        with (
            server.client() as client,
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(PATH),
        ):
            pass
        assert (denied.value.status_code, denied.value.headers["retry-after"]) == (503, "30")
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
    def test_a_client_that_disconnects(self, num_free_frames: int) -> None:
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


class TestOtherPaths:
    @pytest.mark.parametrize("path", ["/none", "/health", "/v1/audio/speech"])
    def test_the_handshake_is_rejected(self, path: str) -> None:
        """Regression: the response had an empty body."""
        with (
            FakeServer().client() as client,
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(path),
        ):
            pass
        assert denied.value.status_code == 404
        assert denied.value.json()["error"]["code"] == "not_found"
        assert denied.value.headers["x-request-id"].startswith("req_")
