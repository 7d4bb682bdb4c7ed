"""Responses of `POST /v1/audio/speech`: failures, streams, events and disconnects."""

import asyncio
import base64
import logging
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.settings import Settings
from orpheus_server.synthesis.synthesizer import LIVE_LOOK_AHEAD
from tests.support.app import (
    FakeServer,
    endless_script,
    held_script,
    pcm_samples,
    short_script,
    speech_ids,
    wait_for,
)
from tests.support.harness import SENTENCE, Call, open_harness, whole_script
from tests.support.speech import (
    LONG_TEXT,
    MEDIA_TYPES,
    NO_SPEECH,
    SpeechClient,
    decode,
    read_events,
)

LOSSLESS = ["wav", "pcm", "flac"]
ANSWERS = pytest.mark.parametrize(
    "fields",
    [
        {"response_format": "wav"},
        {"response_format": "pcm"},
        {"response_format": "mp3"},
        {"response_format": "wav", "stream": True},
        {"response_format": "pcm", "stream_format": "sse"},
    ],
    ids=lambda fields: " ".join(map(str, fields.values())),
)


@ANSWERS
class TestFailuresBeforeTheFirstBytes:
    """In every response mode, a failure before the first bytes has an error status."""

    def test_the_engine_dies(
        self, speech: SpeechClient, fields: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        speech.server.engine.enqueue(Script((), error=EngineDead("the speech engine has died")))
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            answer = speech.post(**fields)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"] == {
            "message": "the speech engine has died",
            "type": "service_unavailable_error",
            "param": None,
            "code": "engine_unavailable",
        }
        assert "x-accel-buffering" not in answer.headers
        assert speech.client.get("/ready").status_code == 503
        assert outcomes(caplog) == ["failed"]

    def test_all_attempts_fail(
        self, fields: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        server = FakeServer(settings=Settings(tts_on_failure="error", tts_max_attempts=2))
        with (
            server.client() as client,
            caplog.at_level(logging.INFO, logger="orpheus_server"),
        ):
            server.engine.enqueue(NO_SPEECH, NO_SPEECH)
            answer = SpeechClient(server, client).post(**fields)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "false")
        assert answer.json()["error"]["code"] == "generation_failed"
        assert len(server.engine.requests) == 2
        assert outcomes(caplog) == ["failed"]


class TestStreams:
    @pytest.mark.parametrize("stream", [None, True, False])
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_streamed_formats(self, speech: SpeechClient, name: str, stream: bool | None) -> None:
        """A wav is whole unless streaming is requested: players trust its header."""
        answer = speech.post(response_format=name, stream=stream)
        is_streamed = name != "wav" if stream is None else stream
        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPES[name])
        assert ("content-length" in answer.headers) is not is_streamed
        # Otherwise nginx would buffer the body.
        assert (answer.headers.get("x-accel-buffering") == "no") is is_streamed
        assert (answer.headers.get("cache-control") == "no-cache") is is_streamed

    def test_a_default_format_from_settings_is_streamed(self) -> None:
        server = FakeServer(settings=Settings(tts_default_response_format="mp3"))
        with server.client() as client:
            answer = client.post("/v1/audio/speech", json={"input": "Hello you."})
        assert answer.headers["content-type"] == "audio/mpeg"
        assert "content-length" not in answer.headers

    def test_a_streamed_wav_has_unknown_sizes(self, speech: SpeechClient) -> None:
        """As in OpenAI's streams; some players would treat 0 as an empty file."""
        streamed = speech.post(response_format="wav", stream=True).content
        whole = speech.post(response_format="wav").content
        assert streamed[4:8] == streamed[40:44] == b"\xff\xff\xff\xff"
        assert struct.unpack("<I", whole[4:8]) == (len(whole) - 8,)
        assert struct.unpack("<I", whole[40:44]) == (len(whole) - 44,)
        assert streamed[:4] + streamed[8:40] + streamed[44:] == (
            whole[:4] + whole[8:40] + whole[44:]
        )

    @pytest.mark.parametrize("speed", [1.0, 1.5])
    @pytest.mark.parametrize("name", LOSSLESS)
    def test_the_joined_stream_is_the_file(
        self, speech: SpeechClient, name: str, speed: float
    ) -> None:
        fields: dict[str, Any] = {"response_format": name, "seed": 3, "speed": speed}
        streamed = decode(name, speech.post(LONG_TEXT, stream=True, **fields).content)
        whole = decode(name, speech.post(LONG_TEXT, stream=False, **fields).content)
        # Twelve sentences, twice.
        assert len(speech.server.engine.requests) == 24
        assert whole.size > 24_000
        np.testing.assert_array_equal(streamed, whole)

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_every_format_can_be_decoded(
        self, speech: SpeechClient, name: str, stream: bool
    ) -> None:
        """A codec adds less than 0.1 s of silence at the start and the end."""
        num_samples = pcm_samples(speech.post(SENTENCE).content).size
        decoded = decode(name, speech.post(SENTENCE, response_format=name, stream=stream).content)
        num_added = decoded.size - num_samples
        assert num_added == 0 if name in LOSSLESS else -1200 <= num_added < 2400
        assert np.abs(decoded.astype(int)).max() > 8000


class TestEvents:
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_joined_deltas_equal_the_body(self, speech: SpeechClient, name: str) -> None:
        """Another server sends raw samples, whatever the requested format."""
        body = speech.post(SENTENCE, response_format=name, stream=True, seed=3).content
        answer = speech.post(SENTENCE, response_format=name, stream_format="sse", seed=3)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        *deltas, done = read_events(answer.content)
        assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
        assert all(sorted(delta) == ["audio", "type"] for delta in deltas)
        assert len(deltas) > 3
        assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == body
        assert done["type"] == "speech.audio.done"
        # Clients may join the strings: with a padding inside, only the first one is decoded.
        assert base64.b64decode("".join(delta["audio"] for delta in deltas), validate=True) == body
        num_bytes = {len(base64.b64decode(delta["audio"])) % 6 for delta in deltas[:-1]}
        assert num_bytes == {0}

    def test_events_with_stream_true(self, speech: SpeechClient) -> None:
        answer = speech.post(stream=True, stream_format="sse")
        assert read_events(answer.content)[-1]["type"] == "speech.audio.done"
        assert speech.post(stream_format="audio").content == speech.post().content

    def test_usage_counts_every_attempt(self, speech: SpeechClient) -> None:
        answer = speech.post(stream_format="sse")
        # The voice and 9 phonemes; 9 frames of 7 tokens and a stop.
        done = {"type": "speech.audio.done", "degraded_chunks": []}
        assert read_events(answer.content)[-1] == {
            **done,
            "usage": {"input_tokens": 10, "output_tokens": 64, "total_tokens": 74},
        }
        speech.server.engine.enqueue(short_script(0))
        answer = speech.post(stream_format="sse")
        assert read_events(answer.content)[-1] == {
            **done,
            "usage": {"input_tokens": 10, "output_tokens": 65, "total_tokens": 75},
        }

    def test_a_chunk_that_failed_after_its_audio_was_sent(self, speech: SpeechClient) -> None:
        """Audio that was sent cannot be retracted: it is completed and reported as degraded."""
        speech.server.engine.enqueue(endless_script(20))
        *deltas, done = read_events(speech.post(LONG_TEXT, stream_format="sse").content)
        assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
        assert (done["type"], done["degraded_chunks"]) == ("speech.audio.done", [0])
        assert len(speech.server.engine.requests) == 12

    def test_a_chunk_that_was_continued_after_a_failure(self, speech: SpeechClient) -> None:
        """The audio ended where the engine failed, and the rest of the text was missing."""
        whole = speech.post(LONG_TEXT, stream=False, response_format="pcm").content
        failing = Script(speech_ids(30), error=GenerationFailed("lost"), fail_at=20 * 7)
        speech.server.engine.enqueue(failing)
        answer = speech.post(LONG_TEXT, stream_format="sse", response_format="pcm")
        *deltas, done = read_events(answer.content)
        assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == whole
        assert (done["type"], done["degraded_chunks"]) == ("speech.audio.done", [])


NOTHING = [
    # text, parts left out as markup, dropped tags
    ("...", 0, 0),
    ("---", 0, 0),
    ("\N{GRINNING FACE}\N{PARTY POPPER}", 2, 0),
    ("<laugh>", 0, 1),
    ("<laugh> <sigh> !", 0, 2),
    ("<custom_token_5><|eot_id|>", 0, 2),
    ("```\nprint(1)\n```", 1, 0),
    ("\u0301" * 4096, 0, 0),
]


class TestNothingToSpeak:
    """It was an error 400, which ends calls in agent frameworks and books in audiobook tools."""

    @pytest.mark.parametrize(("text", "num_left_out", "num_dropped_tags"), NOTHING)
    def test_counts(
        self, speech: SpeechClient, text: str, num_left_out: int, num_dropped_tags: int
    ) -> None:
        """What was dropped is still counted."""
        for fields in ({}, {"stream": False}, {"stream_format": "sse"}):
            answer = speech.post(text, **fields)
            assert answer.status_code == 200
            assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
            assert answer.headers.get("x-orpheus-left-out", "0") == str(num_left_out)
            assert answer.headers.get("x-orpheus-dropped-tags", "0") == str(num_dropped_tags)
        assert speech.server.engine.requests == []

    @pytest.mark.parametrize("speed", [0.25, 1.0, 4.0])
    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_silence_in_every_format(
        self, speech: SpeechClient, name: str, stream: bool, speed: float
    ) -> None:
        answer = speech.post("...", response_format=name, stream=stream, speed=speed)
        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPES[name])
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        silence = decode(name, answer.content)
        num_added = silence.size - 4800
        assert num_added == 0 if name in LOSSLESS else -1200 <= num_added < 2400
        assert np.abs(silence.astype(int)).max() <= 1

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_events(self, speech: SpeechClient, name: str) -> None:
        body = speech.post("...", response_format=name, stream=True).content
        answer = speech.post("...", response_format=name, stream_format="sse")
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        *deltas, done = read_events(answer.content)
        assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == body
        assert done == {
            "type": "speech.audio.done",
            "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
            "degraded_chunks": [],
        }

    def test_speech_has_no_such_header(self, speech: SpeechClient) -> None:
        for fields in ({}, {"stream": False}, {"stream_format": "sse"}):
            assert "x-orpheus-nothing-to-speak" not in speech.post(**fields).headers

    def test_the_log_counts_no_speech(
        self, speech: SpeechClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            speech.post("...")
        assert outcomes(caplog) == ["done"]
        assert " chunks=0 attempts=0 degraded=0 tokens=0 audio_sec=0.00 " in caplog.text

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_full_server_answers_it(self, stream: bool) -> None:
        """It needs no engine, and so does not wait for one."""
        settings = Settings(tts_max_streams=1, tts_queue_wait_sec=60)
        server = FakeServer(settings=settings)
        with server.client() as client, server.runtime.admission.reserve("x", "interactive"):
            answer = SpeechClient(server, client).post("...", stream=stream)
        assert (answer.status_code, answer.content) == (200, bytes(9600))


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns the outcome of each finished request from its log line."""
    lines = [record.getMessage() for record in caplog.records]
    words = [word for line in lines for word in line.split()]
    return [word.partition("=")[2] for word in words if word.startswith("outcome=")]


@pytest.mark.anyio
class TestCompleteBeforeItsFirstBytes:
    """All of the speech exists when the first bytes of a stream would leave."""

    async def call(self, **fields: Any) -> Call:
        """Both attempts fail before any audio is decoded; then one of them is used whole."""
        gate = asyncio.Event()
        async with open_harness(Settings(tts_max_attempts=2)) as harness:
            engine = harness.server.engine
            engine.enqueue(endless_script(20), held_script(endless_script(20), gate))
            harness.server.decoder.results += [np.zeros(9, np.float32)] * 2
            call, task = harness.begin(input="Hello you.", **fields)
            await wait_for(lambda: len(engine.requests) == 2)
            gate.set()
            await task
        assert call.is_whole
        return call

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    async def test_it_is_a_file(self, name: str) -> None:
        """A wav stated an unknown length, although its length was known."""
        streamed = await self.call(response_format=name, stream=True)
        file = await self.call(response_format=name, stream=False)
        headers = dict(streamed.sent[0]["headers"])
        assert headers[b"content-length"] == str(len(file.body)).encode()
        assert headers[b"x-orpheus-degraded-chunks"] == b"1"
        assert not {b"cache-control", b"x-accel-buffering"} & set(headers)
        assert streamed.body == file.body

    async def test_events_stay_events(self) -> None:
        call = await self.call(response_format="wav", stream_format="sse")
        file = await self.call(response_format="wav")
        assert b"content-length" not in dict(call.sent[0]["headers"])
        *deltas, done = read_events(call.body)
        assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == file.body
        assert (done["type"], done["degraded_chunks"]) == ("speech.audio.done", [0])


@pytest.mark.anyio
class TestWhileItIsMade:
    @pytest.mark.parametrize("stream_format", ["audio", "sse"])
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    async def test_audio_is_sent_before_it_is_complete(self, name: str, stream_format: str) -> None:
        async with open_harness() as harness:
            gate = asyncio.Event()
            harness.server.engine.enqueue(held_script(whole_script(), gate, num_free_frames=10))
            fields = {"response_format": name, "stream": True, "stream_format": stream_format}
            call, task = harness.begin(**fields)
            # More than the header of any format.
            await wait_for(lambda: len(call.body) > 1000)
            assert harness.server.engine.num_active == 1
            assert call.sent[0]["status"] == 200
            early = call.body
            gate.set()
            await task
            assert call.is_whole
            again, task = harness.begin(**fields)
            await task
            assert again.body == call.body
            assert call.body.startswith(early)
            assert len(call.body) > 2 * len(early)

    async def test_a_file_is_not_sent_before_it_is_complete(self) -> None:
        async with open_harness() as harness:
            gate = asyncio.Event()
            harness.server.engine.enqueue(held_script(whole_script(), gate, num_free_frames=10))
            call, task = harness.begin(stream=False)
            await wait_for(lambda: len(harness.server.engine.requests) == 1)
            for _ in range(100):
                await asyncio.sleep(0)
            assert call.sent == []
            gate.set()
            await task
            assert call.is_whole

    async def test_the_first_chunk_does_not_wait_for_the_second(self) -> None:
        async with open_harness() as harness:
            gate, engine = asyncio.Event(), harness.server.engine
            held = replace(short_script(40), gate=gate)
            engine.enqueue(short_script(40), held, held, held)
            call, task = harness.begin(input=LONG_TEXT)
            await wait_for(lambda: len(call.body) == 40 * 4096 and engine.num_active == 3)
            gate.set()
            await task
            assert call.is_whole

    async def test_a_failure_in_the_middle_breaks_the_body(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Another server ends the body normally: half a sentence without any error."""
        dying = Script(speech_ids(30), error=EngineDead("the speech engine has died"), fail_at=140)
        async with open_harness() as harness:
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                harness.server.engine.enqueue(dying)
                call, task = harness.begin()
                await task
            assert call.sent[0]["status"] == 200
            assert len(call.body) > 4096
            assert not call.is_whole
            assert outcomes(caplog) == ["failed"]
            request_id = dict(call.sent[0]["headers"])[b"x-request-id"].decode()
            assert f"request={request_id} failed: the speech engine has died" in caplog.text

    async def test_a_failure_in_the_middle_of_events_is_an_event(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The body ended as a complete one does: a client that knows no error event, such as
        LiveKit's, played the half as the whole."""
        dying = Script(speech_ids(30), error=EngineDead("the speech engine has died"), fail_at=140)
        async with open_harness() as harness:
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                harness.server.engine.enqueue(dying)
                call, task = harness.begin(stream_format="sse")
                await task
            assert not call.is_whole
            *deltas, last = read_events(call.body)
            assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
            assert last == {
                "type": "speech.audio.error",
                "error": {
                    "message": "the speech engine has died",
                    "type": "service_unavailable_error",
                    "param": None,
                    "code": "engine_unavailable",
                },
            }
            assert outcomes(caplog) == ["failed"]

    async def test_a_failure_after_audio_was_sent_and_degraded_audio_is_off(self) -> None:
        settings = Settings(tts_on_failure="error")
        async with open_harness(settings) as harness:
            harness.server.engine.enqueue(endless_script(20), endless_script(20))
            call, task = harness.begin()
            await task
            assert (call.sent[0]["status"], call.is_whole) == (200, False)
            call, task = harness.begin(stream_format="sse")
            await task
            error = read_events(call.body)[-1]["error"]
            assert error["code"] == "generation_failed"
            assert error["message"].startswith("part 1 of the text could not be spoken in 1 ")

    async def test_an_internal_error_in_the_middle(self, caplog: pytest.LogCaptureFixture) -> None:
        """It was counted as a client disconnect."""
        broken = Script(speech_ids(30), error=ValueError("a bug"), fail_at=140)
        async with open_harness() as harness:
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                harness.server.engine.enqueue(broken)
                call, task = harness.begin()
                with pytest.raises(ValueError, match="a bug"):
                    await task
            assert not call.is_whole
            assert outcomes(caplog) == ["failed"]
            assert "failed unexpectedly" in caplog.text

    @pytest.mark.parametrize("num_free_frames", [0, 10])
    @pytest.mark.parametrize("stream_format", ["audio", "sse"])
    async def test_the_client_disconnects(
        self, caplog: pytest.LogCaptureFixture, stream_format: str, num_free_frames: int
    ) -> None:
        """All three generations are aborted, both before and after the first bytes."""
        async with open_harness() as harness:
            engine, gate = harness.server.engine, asyncio.Event()
            speech = Script(speech_ids(60), hangs_at_end=True)
            held = held_script(speech, gate, num_free_frames=num_free_frames)
            engine.enqueue(held, held, held, held)
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                call, task = harness.begin(input=LONG_TEXT, stream_format=stream_format)
                await wait_for(lambda: engine.num_active == LIVE_LOOK_AHEAD)
                if num_free_frames:
                    await wait_for(lambda: len(call.body) > 4096)
                call.leave()
                await task
            assert (engine.num_active, engine.num_aborted) == (0, LIVE_LOOK_AHEAD)
            assert call.sent[0]["status"] == (200 if num_free_frames else 499)
            assert call.is_whole is (num_free_frames == 0)
            assert outcomes(caplog) == ["caller_left"]

    async def test_a_client_that_does_not_read(self, caplog: pytest.LogCaptureFixture) -> None:
        """Only a few chunks are generated, however long the text."""
        async with open_harness() as harness:
            engine = harness.server.engine
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                call, task = harness.begin(input=LONG_TEXT * 20)
                await wait_for(lambda: len(call.sent) == 2)
                call.reads.clear()
                num_sent = len(call.sent)
                await wait_for(lambda: len(engine.requests) >= LIVE_LOOK_AHEAD)
                await wait_for(lambda: engine.num_active == 0)
                for _ in range(500):
                    await asyncio.sleep(0)
                assert len(engine.requests) <= LIVE_LOOK_AHEAD + 1
                assert len(call.sent) <= num_sent + 1
                call.leave()
                await task
            assert outcomes(caplog) == ["caller_left"]

    async def test_the_server_stops_in_the_middle(self, caplog: pytest.LogCaptureFixture) -> None:
        async with open_harness() as harness:
            gate = asyncio.Event()
            harness.server.engine.enqueue(held_script(whole_script(), gate, num_free_frames=10))
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                call, task = harness.begin()
                await wait_for(lambda: len(call.body) > 4096)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert harness.server.engine.num_aborted == 1
            assert outcomes(caplog) == ["failed"]

    async def test_one_log_line_per_request(self, caplog: pytest.LogCaptureFixture) -> None:
        async with open_harness() as harness:
            for stream in (True, False):
                caplog.clear()
                with caplog.at_level(logging.INFO, logger="orpheus_server"):
                    _, task = harness.begin(stream=stream)
                    await task
                (line,) = [
                    record.getMessage() for record in caplog.records if record.levelname == "INFO"
                ]
                assert " outcome=done voice=rms format=pcm chunks=1 attempts=1 degraded=0 " in line
                assert " tokens=211 audio_sec=2.56 " in line
