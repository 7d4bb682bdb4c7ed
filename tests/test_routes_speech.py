"""`POST /v1/audio/speech`: what is accepted, what reaches the engine, and how it is answered."""

import asyncio
import base64
import io
import json
import logging
import socket
import struct
import wave
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import av
import httpx2
import numpy as np
import numpy.typing as npt
import pytest
from httpx2 import Response
from openai import APIError, InternalServerError, OpenAI
from openai._streaming import Stream
from starlette.testclient import TestClient

from orpheus_server.checkpoints.checkpoint import OPENAI_VOICES
from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.interfaces import SamplingOptions, TokenRequest
from orpheus_server.settings import Settings
from orpheus_server.synthesis.retry import derive_seed
from orpheus_server.synthesis.synthesizer import LIVE_LOOK_AHEAD
from tests.support.app import (
    POCKET,
    FakeServer,
    endless_script,
    held_script,
    pcm_samples,
    short_script,
    speech_ids,
    wait_for,
)
from tests.support.served import ServedFakes, wait_until
from tests.support.stage import SENTENCE, Call, open_stage, whole_script

MEDIA_TYPES = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
}
LOSSLESS = ["wav", "pcm", "flac"]
# Four chunks.
LONG_TEXT = "Abcdefg hijklmno pqrstuv. " * 12
NO_SPEECH = Script((), error=GenerationFailed("no speech"))


class Speaker:
    """Posts to the speech route of a fake server."""

    def __init__(self, server: FakeServer, client: TestClient) -> None:
        self.server = server
        self.client = client

    def post(self, text: str = "Hello you.", /, **fields: object) -> Response:
        body = {"input": text, "response_format": "pcm", **fields}
        return self.client.post("/v1/audio/speech", json=body)

    def last_request(self, **fields: object) -> TokenRequest:
        answer = self.post(**fields)
        assert answer.status_code == 200, answer.text
        return self.server.engine.requests[-1]


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    server = FakeServer()
    with server.client() as client:
        yield Speaker(server, client)


@pytest.fixture
def english() -> Iterator[Speaker]:
    server = FakeServer(ENGLISH)
    with server.client() as client:
        yield Speaker(server, client)


class TestBodies:
    @pytest.mark.parametrize("path", ["/v1/audio/speech", "/audio/speech"])
    def test_wav_is_the_default_with_true_sizes(self, speaker: Speaker, path: str) -> None:
        """Sizes of a stream's header make `wave` read two gigabytes that are not there."""
        answer = speaker.client.post(path, json={"input": "Hello you."})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
        assert answer.headers["content-length"] == str(len(answer.content))
        with wave.open(io.BytesIO(answer.content)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
            assert file.getnframes() == 9 * 2048
            samples = file.readframes(file.getnframes())
        assert samples == speaker.post().content
        assert len(answer.content) == 44 + 9 * 2 * 2048
        assert not {"cache-control", "x-accel-buffering"} & set(answer.headers)

    def test_pcm(self, speaker: Speaker) -> None:
        answer = speaker.post()
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/pcm")
        samples = pcm_samples(answer.content)
        assert samples.size == 9 * 2048
        assert 9000 < abs(samples.astype(int)).max() < 10_000  # the tone's 0.3

    def test_a_long_text_is_one_answer(self, speaker: Speaker) -> None:
        answer = speaker.post("Abcdefg hijklmno pqrstuv. " * 12)
        sizes = {len(request.prompt_token_ids) for request in speaker.server.engine.requests}
        assert len(speaker.server.engine.requests) > 3
        assert max(sizes) < 90
        assert len(answer.content) == sum(
            2 * 2048 * num_frames for num_frames, _ in speaker.server.decoder.calls
        )

    @pytest.mark.parametrize("speed", [0.25, 0.5, 1, 1.5, 4.0])
    def test_speed_changes_the_length(self, speaker: Speaker, speed: float) -> None:
        text = "Abcdefg hijklmno pqrstuv. " * 3
        normal = pcm_samples(speaker.post(text).content).size
        size = pcm_samples(speaker.post(text, speed=speed).content).size
        assert size == pytest.approx(normal / speed, rel=0.03)

    def test_null_is_as_if_left_out(self, speaker: Speaker) -> None:
        """Typed clients send null for what their user did not set."""
        names = "model voice instructions speed stream_format stream temperature top_p top_k"
        names += " min_p repetition_penalty max_tokens seed"
        answer = speaker.post(**dict.fromkeys(names.split()))
        assert answer.status_code == 200
        assert answer.content == speaker.post().content
        first, second = speaker.server.engine.requests
        assert replace(first, request_id="") == replace(second, request_id="")
        wav = speaker.client.post(
            "/v1/audio/speech", json={"input": "Hi.", "response_format": None}
        )
        assert wav.headers["content-type"] == "audio/wav"

    @pytest.mark.parametrize("accept", ["application/octet-stream", "text/html", "image/png"])
    def test_accept_decides_nothing(self, speaker: Speaker, accept: str) -> None:
        """The SDK always sends application/octet-stream, whatever format it asks for."""
        answer = speaker.client.post(
            "/v1/audio/speech", json={"input": "Hello you."}, headers={"accept": accept}
        )
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")

    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "APPLICATION/JSON; charset=utf-8", "application/problem+json"],
    )
    def test_json_by_any_of_its_names(self, speaker: Speaker, content_type: str) -> None:
        answer = speaker.client.post(
            "/v1/audio/speech", content=b'{"input": "Hi."}', headers={"content-type": content_type}
        )
        assert answer.status_code == 200


class TestVoices:
    @pytest.mark.parametrize(
        ("voice", "token_id"),
        [(None, 5), ("rms", 5), ("slt", 6), ({"id": "slt"}, 6), ("tara", 6), (" SLT ", 6)]
        + [({"id": "leo"}, 5), ({"id": "slt", "name": "more"}, 6)],
    )
    def test_name_object_and_alias(self, speaker: Speaker, voice: object, token_id: int) -> None:
        """Three of the earlier servers answer the SDK's own voice object with 422."""
        assert speaker.last_request(voice=voice).prompt_token_ids[1] == token_id

    @pytest.mark.parametrize("voice", OPENAI_VOICES)
    def test_openais_names(self, speaker: Speaker, english: Speaker, voice: str) -> None:
        """Clients that know no other server offer these names only."""
        assert speaker.post(voice=voice).status_code == 200
        assert english.post(voice=voice).status_code == 200

    def test_published_default_and_unlisted_voice(self, english: Speaker) -> None:
        def prompt(voice: str | None) -> str:
            ids = english.last_request(voice=voice).prompt_token_ids
            assert (ids[:2], ids[-4:]) == (
                (128_259, 128_000),
                (128_009, 128_260, 128_261, 128_257),
            )
            return "".join(chr(token_id + 31) for token_id in ids[2:-4])

        assert prompt(None) == "tara: Hello you."
        assert prompt("julia") == "julia: Hello you."


class TestModelNames:
    @pytest.mark.parametrize("model", [None, "pocket", "orpheus", "tts-1", "tts-1-hd"])
    def test_known(self, speaker: Speaker, model: str | None) -> None:
        assert speaker.post(model=model).status_code == 200

    def test_hub_id(self, english: Speaker) -> None:
        assert english.post(model="canopylabs/orpheus-3b-0.1-ft").status_code == 200


class TestSampling:
    def test_defaults_are_the_checkpoints(self, speaker: Speaker) -> None:
        request = speaker.last_request()
        assert request.sampling == SamplingOptions(0.6, 0.9, 1.0)
        # 9 phonemes: at most 56.25 frames, and one more.
        assert (request.max_tokens, request.seed) == (58 * 7, None)

    def test_every_parameter_reaches_the_engine(self, speaker: Speaker) -> None:
        """A rival reads `temperature` and then samples with its own constant."""
        request = speaker.last_request(
            temperature=1.25,
            top_p=0.5,
            top_k=17,
            min_p=0.125,
            repetition_penalty=1.5,
            max_tokens=123,
            seed=-5,
        )
        assert request.sampling == SamplingOptions(1.25, 0.5, 1.5, 17, 0.125, 123)
        assert (request.max_tokens, request.seed) == (123, derive_seed(-5, 0, 1))

    @pytest.mark.parametrize(
        "fields",
        [
            {"temperature": 0, "top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 0.5},
            {"temperature": 2, "top_p": 1e-9, "top_k": 200_000, "min_p": 1, "max_tokens": 8192},
            {"repetition_penalty": 2, "max_tokens": 100, "seed": 2**63 - 1},
            {"seed": -(2**63)},
        ],
    )
    def test_limits_are_allowed(self, speaker: Speaker, fields: dict[str, object]) -> None:
        sampling = speaker.last_request(**fields).sampling
        for name in set(fields) - {"seed"}:
            assert getattr(sampling, name) == fields[name]

    def test_settings_come_between_request_and_checkpoint(self) -> None:
        settings = Settings(
            tts_temperature=0.0,
            tts_top_p=0.25,
            tts_repetition_penalty=1.75,
            tts_max_tokens=210,
            tts_default_response_format="pcm",
        )
        server = FakeServer(settings=settings)
        with server.client() as client:
            answer = client.post("/v1/audio/speech", json={"input": "Hello you.", "top_p": 0.5})
        assert answer.headers["content-type"] == "audio/pcm"
        assert server.engine.requests[0].sampling == SamplingOptions(0.0, 0.5, 1.75)
        assert server.engine.requests[0].max_tokens == 210

    def test_same_seed_same_bytes(self, speaker: Speaker) -> None:
        assert speaker.post(seed=4).content == speaker.post(seed=4).content
        first, second = speaker.server.engine.requests
        assert first.seed == second.seed == derive_seed(4, 0, 1)
        assert first.request_id != second.request_id


class TestHeaders:
    def test_ignored_fields_are_named(self, speaker: Speaker) -> None:
        """Refusing unknown fields breaks the clients of every other server's extensions."""
        answer = speaker.post(instructions="Cheerful.", lang_code="a", volume_multiplier=2)
        assert answer.status_code == 200
        assert answer.headers["x-orpheus-ignored-fields"] == (
            "instructions, lang_code, volume_multiplier"
        )
        assert "x-orpheus-ignored-fields" not in speaker.post(instructions="").headers

    def test_names_of_fields_cannot_make_headers(self, speaker: Speaker) -> None:
        fields = {"a\r\nset-cookie: b=c": 1, "é": 2, "": 3, "a b": 4, "x" * 50: 5}
        answer = speaker.post(**fields, **{f"field_{index}": 1 for index in range(30)})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        named = answer.headers["x-orpheus-ignored-fields"].split(", ")
        assert named == ["x" * 40, *(f"field_{index}" for index in range(5))]

    def test_degraded_chunks_are_counted(self, speaker: Speaker) -> None:
        assert "x-orpheus-degraded-chunks" not in speaker.post().headers
        speaker.server.engine.enqueue(*[endless_script(5)] * 7)
        answer = speaker.post(stream=False)
        assert (answer.status_code, answer.headers["x-orpheus-degraded-chunks"]) == (200, "1")

    def test_dropped_symbols_are_counted(self, english: Speaker) -> None:
        answer = english.post("Café olé", stream=False)
        assert answer.headers["x-orpheus-dropped-symbols"] == "2"

    def test_a_stream_tells_what_the_text_tells(self, english: Speaker) -> None:
        """How its chunks will turn out is not known when the headers are sent."""
        answer = english.post("Hello <resoplido> you.", instructions="Cheerful.")
        assert answer.headers["x-orpheus-dropped-tags"] == "1"
        assert answer.headers["x-orpheus-ignored-fields"] == "instructions"

    def test_a_retry_leaves_no_trace(self, speaker: Speaker) -> None:
        speaker.server.engine.enqueue(short_script(0))
        answer = speaker.post()
        assert answer.status_code == 200
        own = [name for name in answer.headers if name.startswith("x-orpheus")]
        assert own == ["x-orpheus-queue-ms"]


class TestFailures:
    def test_all_attempts_failed_and_no_second_best_wanted(self) -> None:
        """Without the header the SDK sends the same text twice more: ten attempts for nothing."""
        server = FakeServer(settings=Settings(tts_on_failure="error", tts_max_attempts=2))
        with server.client() as client:
            server.engine.enqueue(*[endless_script(5)] * 2)
            answer = client.post("/v1/audio/speech", json={"input": "Hello you."})
        assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "false")
        assert answer.json() == {
            "error": {
                "message": "part 1 of the text could not be spoken in 2 attempts "
                "(last cause: token_limit: no stop after 5 frames)",
                "type": "server_error",
                "param": None,
                "code": "generation_failed",
            }
        }

    def test_one_request_fails_and_the_next_does_not(self, speaker: Speaker) -> None:
        error = GenerationFailed("the prompt has an id outside of the vocabulary")
        speaker.server.engine.enqueue(*[Script((), error=error)] * 7)
        assert speaker.post().status_code == 500
        assert speaker.post().status_code == 200


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
    """However it is answered: a failure is a status as long as there is one to give."""

    def test_the_engine_dies(
        self, speaker: Speaker, fields: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        speaker.server.engine.enqueue(Script((), error=EngineDead("the speech engine has died")))
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            answer = speaker.post(**fields)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"] == {
            "message": "the speech engine has died",
            "type": "service_unavailable_error",
            "param": None,
            "code": "engine_unavailable",
        }
        assert "x-accel-buffering" not in answer.headers
        assert speaker.client.get("/ready").status_code == 503
        assert outcomes(caplog) == ["failed"]

    def test_no_attempt_is_good_enough(
        self, fields: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        server = FakeServer(settings=Settings(tts_on_failure="error", tts_max_attempts=2))
        with (
            server.client() as client,
            caplog.at_level(logging.INFO, logger="orpheus_server"),
        ):
            server.engine.enqueue(NO_SPEECH, NO_SPEECH)
            answer = Speaker(server, client).post(**fields)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "false")
        assert answer.json()["error"]["code"] == "generation_failed"
        assert len(server.engine.requests) == 2
        assert outcomes(caplog) == ["failed"]


class TestStreams:
    @pytest.mark.parametrize("stream", [None, True, False])
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_what_is_streamed(self, speaker: Speaker, name: str, stream: bool | None) -> None:
        """A wav is whole unless asked for otherwise: players believe its header."""
        answer = speaker.post(response_format=name, stream=stream)
        is_streamed = name != "wav" if stream is None else stream
        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPES[name])
        assert ("content-length" in answer.headers) is not is_streamed
        # nginx would hold it back.
        assert (answer.headers.get("x-accel-buffering") == "no") is is_streamed
        assert (answer.headers.get("cache-control") == "no-cache") is is_streamed

    def test_a_format_that_is_the_default_is_streamed_too(self) -> None:
        server = FakeServer(settings=Settings(tts_default_response_format="mp3"))
        with server.client() as client:
            answer = client.post("/v1/audio/speech", json={"input": "Hello you."})
        assert answer.headers["content-type"] == "audio/mpeg"
        assert "content-length" not in answer.headers

    def test_the_sizes_of_a_wav_are_unknown(self, speaker: Speaker) -> None:
        """OpenAI's own are the same; 0 would be an empty file to some players."""
        streamed = speaker.post(response_format="wav", stream=True).content
        whole = speaker.post(response_format="wav").content
        assert streamed[4:8] == streamed[40:44] == b"\xff\xff\xff\xff"
        assert struct.unpack("<I", whole[4:8]) == (len(whole) - 8,)
        assert struct.unpack("<I", whole[40:44]) == (len(whole) - 44,)
        assert streamed[:4] + streamed[8:40] + streamed[44:] == (
            whole[:4] + whole[8:40] + whole[44:]
        )

    @pytest.mark.parametrize("speed", [1.0, 1.5])
    @pytest.mark.parametrize("name", LOSSLESS)
    def test_the_joined_stream_is_the_file(self, speaker: Speaker, name: str, speed: float) -> None:
        fields: dict[str, Any] = {"response_format": name, "seed": 3, "speed": speed}
        streamed = decode(name, speaker.post(LONG_TEXT, stream=True, **fields).content)
        whole = decode(name, speaker.post(LONG_TEXT, stream=False, **fields).content)
        assert len(speaker.server.engine.requests) == 8
        assert whole.size > 24_000
        np.testing.assert_array_equal(streamed, whole)

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_players_read_every_format(self, speaker: Speaker, name: str, stream: bool) -> None:
        """What a codec adds is silence before the first sample and after the last, under 0.1 s."""
        num_samples = pcm_samples(speaker.post(SENTENCE).content).size
        decoded = decode(name, speaker.post(SENTENCE, response_format=name, stream=stream).content)
        num_added = decoded.size - num_samples
        assert num_added == 0 if name in LOSSLESS else -1200 <= num_added < 2400
        assert np.abs(decoded.astype(int)).max() > 8000


class TestEvents:
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_deltas_are_the_body(self, speaker: Speaker, name: str) -> None:
        """A rival's are raw samples, whatever format was asked for."""
        body = speaker.post(SENTENCE, response_format=name, stream=True, seed=3).content
        answer = speaker.post(SENTENCE, response_format=name, stream_format="sse", seed=3)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        *deltas, done = read_events(answer.content)
        assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
        assert all(sorted(delta) == ["audio", "type"] for delta in deltas)
        assert len(deltas) > 3
        assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == body
        assert done["type"] == "speech.audio.done"

    def test_they_may_be_asked_for_as_a_stream(self, speaker: Speaker) -> None:
        answer = speaker.post(stream=True, stream_format="sse")
        assert read_events(answer.content)[-1]["type"] == "speech.audio.done"
        assert speaker.post(stream_format="audio").content == speaker.post().content

    def test_usage_counts_every_attempt(self, speaker: Speaker) -> None:
        answer = speaker.post(stream_format="sse")
        # The voice and 9 phonemes; 9 frames of 7 tokens and a stop.
        done = {"type": "speech.audio.done", "degraded_chunks": []}
        assert read_events(answer.content)[-1] == {
            **done,
            "usage": {"input_tokens": 10, "output_tokens": 64, "total_tokens": 74},
        }
        speaker.server.engine.enqueue(short_script(0))
        answer = speaker.post(stream_format="sse")
        assert read_events(answer.content)[-1] == {
            **done,
            "usage": {"input_tokens": 10, "output_tokens": 65, "total_tokens": 75},
        }

    def test_a_chunk_that_was_heard_before_it_failed(self, speaker: Speaker) -> None:
        """What was heard cannot be taken back: it is played to its end and named."""
        speaker.server.engine.enqueue(endless_script(20))
        *deltas, done = read_events(speaker.post(LONG_TEXT, stream_format="sse").content)
        assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
        assert (done["type"], done["degraded_chunks"]) == ("speech.audio.done", [0])
        assert len(speaker.server.engine.requests) == 4

    def test_a_chunk_that_went_on_after_it_had_failed(self, speaker: Speaker) -> None:
        """It ended where the engine had failed, and the rest of its text was missing."""
        whole = speaker.post(LONG_TEXT, stream=False, response_format="pcm").content
        failing = Script(speech_ids(30), error=GenerationFailed("lost"), fail_at=20 * 7)
        speaker.server.engine.enqueue(failing)
        answer = speaker.post(LONG_TEXT, stream_format="sse", response_format="pcm")
        *deltas, done = read_events(answer.content)
        assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == whole
        assert (done["type"], done["degraded_chunks"]) == ("speech.audio.done", [])


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of the requests that have ended, as their one line in the log tells."""
    lines = [record.getMessage() for record in caplog.records]
    words = [word for line in lines for word in line.split()]
    return [word.partition("=")[2] for word in words if word.startswith("outcome=")]


def read_events(body: bytes) -> list[dict[str, Any]]:
    """Server-sent events, each of one line of data."""
    *events, rest = body.decode().split("\n\n")
    assert rest == ""
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def decode(name: str, body: bytes) -> npt.NDArray[np.int16]:
    """Samples of an answer as a player hears them, at 24 kHz."""
    if name == "pcm":
        return pcm_samples(body)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=24_000)
    with av.open(io.BytesIO(body), "r") as container:
        parts = [
            part.to_ndarray().reshape(-1)
            for frame in [*container.decode(audio=0), None]
            for part in resampler.resample(frame)
        ]
    return np.concatenate(parts)


@pytest.mark.anyio
class TestWhileItIsMade:
    @pytest.mark.parametrize("stream_format", ["audio", "sse"])
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    async def test_sound_is_sent_before_it_is_all_there(
        self, name: str, stream_format: str
    ) -> None:
        async with open_stage() as stage:
            gate = asyncio.Event()
            stage.server.engine.enqueue(held_script(whole_script(), gate, num_free_frames=10))
            fields = {"response_format": name, "stream": True, "stream_format": stream_format}
            call, task = stage.begin(**fields)
            # More than the header of any format.
            await wait_for(lambda: len(call.body) > 1000)
            assert stage.server.engine.num_active == 1
            assert call.sent[0]["status"] == 200
            early = call.body
            gate.set()
            await task
            assert call.is_whole
            again, task = stage.begin(**fields)
            await task
            assert again.body == call.body
            assert call.body.startswith(early)
            assert len(call.body) > 2 * len(early)

    async def test_a_file_is_not(self) -> None:
        async with open_stage() as stage:
            gate = asyncio.Event()
            stage.server.engine.enqueue(held_script(whole_script(), gate, num_free_frames=10))
            call, task = stage.begin(stream=False)
            await wait_for(lambda: len(stage.server.engine.requests) == 1)
            for _ in range(100):
                await asyncio.sleep(0)
            assert call.sent == []
            gate.set()
            await task
            assert call.is_whole

    async def test_the_first_chunk_does_not_wait_for_the_second(self) -> None:
        async with open_stage() as stage:
            gate, engine = asyncio.Event(), stage.server.engine
            held = replace(short_script(40), gate=gate)
            engine.enqueue(short_script(40), held, held, held)
            call, task = stage.begin(input=LONG_TEXT)
            await wait_for(lambda: len(call.body) == 40 * 4096 and engine.num_active == 3)
            gate.set()
            await task
            assert call.is_whole

    async def test_a_failure_in_the_middle_leaves_the_body_unfinished(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A rival ends the body as if it were whole: half a sentence, and nobody is told."""
        dying = Script(speech_ids(30), error=EngineDead("the speech engine has died"), fail_at=140)
        async with open_stage() as stage:
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                stage.server.engine.enqueue(dying)
                call, task = stage.begin()
                await task
            assert call.sent[0]["status"] == 200
            assert len(call.body) > 4096
            assert not call.is_whole
            assert outcomes(caplog) == ["failed"]
            request_id = dict(call.sent[0]["headers"])[b"x-request-id"].decode()
            assert f"request={request_id} failed: the speech engine has died" in caplog.text

    async def test_a_failure_in_the_middle_of_events_is_one(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It was counted as done in the log."""
        dying = Script(speech_ids(30), error=EngineDead("the speech engine has died"), fail_at=140)
        async with open_stage() as stage:
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                stage.server.engine.enqueue(dying)
                call, task = stage.begin(stream_format="sse")
                await task
            assert call.is_whole
            *deltas, last = read_events(call.body)
            assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
            assert last == {
                "error": {
                    "message": "the speech engine has died",
                    "type": "service_unavailable_error",
                    "param": None,
                    "code": "engine_unavailable",
                }
            }
            assert outcomes(caplog) == ["failed"]

    async def test_heard_and_then_failed_and_no_second_best_wanted(self) -> None:
        settings = Settings(tts_on_failure="error")
        async with open_stage(settings) as stage:
            stage.server.engine.enqueue(endless_script(20), endless_script(20))
            call, task = stage.begin()
            await task
            assert (call.sent[0]["status"], call.is_whole) == (200, False)
            call, task = stage.begin(stream_format="sse")
            await task
            error = read_events(call.body)[-1]["error"]
            assert error["code"] == "generation_failed"
            assert error["message"].startswith("part 1 of the text could not be spoken in 1 ")

    async def test_a_bug_of_ours_in_the_middle(self, caplog: pytest.LogCaptureFixture) -> None:
        """It was counted as a caller who had left."""
        broken = Script(speech_ids(30), error=ValueError("a bug"), fail_at=140)
        async with open_stage() as stage:
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                stage.server.engine.enqueue(broken)
                call, task = stage.begin()
                with pytest.raises(ValueError, match="a bug"):
                    await task
            assert not call.is_whole
            assert outcomes(caplog) == ["failed"]
            assert "failed unexpectedly" in caplog.text

    @pytest.mark.parametrize("num_free_frames", [0, 10])
    @pytest.mark.parametrize("stream_format", ["audio", "sse"])
    async def test_a_caller_who_leaves(
        self, caplog: pytest.LogCaptureFixture, stream_format: str, num_free_frames: int
    ) -> None:
        """Before the first bytes and after them: all three generations are aborted."""
        async with open_stage() as stage:
            engine, gate = stage.server.engine, asyncio.Event()
            speech = Script(speech_ids(60), hangs_at_end=True)
            held = held_script(speech, gate, num_free_frames=num_free_frames)
            engine.enqueue(held, held, held, held)
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                call, task = stage.begin(input=LONG_TEXT, stream_format=stream_format)
                await wait_for(lambda: engine.num_active == LIVE_LOOK_AHEAD)
                if num_free_frames:
                    await wait_for(lambda: len(call.body) > 4096)
                call.leave()
                await task
            assert (engine.num_active, engine.num_aborted) == (0, LIVE_LOOK_AHEAD)
            assert call.sent[0]["status"] == (200 if num_free_frames else 499)
            assert call.is_whole is (num_free_frames == 0)
            assert outcomes(caplog) == ["caller_left"]

    async def test_a_caller_who_reads_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """No more is made than a few chunks, however long the text."""
        async with open_stage() as stage:
            engine = stage.server.engine
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                call, task = stage.begin(input=LONG_TEXT * 20)
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

    async def test_the_server_ends_in_the_middle(self, caplog: pytest.LogCaptureFixture) -> None:
        async with open_stage() as stage:
            gate = asyncio.Event()
            stage.server.engine.enqueue(held_script(whole_script(), gate, num_free_frames=10))
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                call, task = stage.begin()
                await wait_for(lambda: len(call.body) > 4096)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert stage.server.engine.num_aborted == 1
            assert outcomes(caplog) == ["failed"]

    async def test_one_line_when_it_is_done(self, caplog: pytest.LogCaptureFixture) -> None:
        async with open_stage() as stage:
            for stream in (True, False):
                caplog.clear()
                with caplog.at_level(logging.INFO, logger="orpheus_server"):
                    _, task = stage.begin(stream=stream)
                    await task
                (line,) = [
                    record.getMessage() for record in caplog.records if record.levelname == "INFO"
                ]
                assert " outcome=done voice=rms format=pcm chunks=1 attempts=1 degraded=0 " in line
                assert " tokens=211 audio_sec=2.56 " in line


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    # Before the environment of a test is cleaned, so without reading it.
    with ServedFakes(FakeServer(settings=Settings.model_construct())) as served:
        yield served


@pytest.fixture
def sdk(served: ServedFakes) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def dying_script() -> Script:
    """Speech without an end after its first second; the engine lives on."""
    return endless_script(20)


class TestSdk:
    """The real SDK against a real uvicorn."""

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_every_format_in_one_piece_and_as_it_comes(self, sdk: OpenAI, name: Any) -> None:
        options: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "response_format": name}
        body = sdk.audio.speech.create(input=SENTENCE, **options).content
        streaming = sdk.audio.speech.with_streaming_response
        with streaming.create(input=SENTENCE, **options) as response:
            parts = list(response.iter_bytes())
        assert response.headers["content-type"] == MEDIA_TYPES[name]
        assert (response.headers.get("transfer-encoding") == "chunked") is (name != "wav")
        assert b"".join(parts) == body
        assert decode(name, body).size > 24_000

    def test_streamed_wav_by_extra_body(self, sdk: OpenAI) -> None:
        with sdk.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="alloy",
            input=SENTENCE,
            response_format="wav",
            extra_body={"stream": True},
        ) as response:
            body = response.read()
        assert response.headers["transfer-encoding"] == "chunked"
        assert body[40:44] == b"\xff\xff\xff\xff"

    def test_events(self, sdk: OpenAI) -> None:
        with sdk.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts",
            voice="alloy",
            input=SENTENCE,
            response_format="pcm",
            stream_format="sse",
        ) as response:
            body = response.read()
        *deltas, done = read_events(body)
        assert sum(len(base64.b64decode(each["audio"])) for each in deltas) == 30 * 4096
        assert done["usage"] == {"input_tokens": 32, "output_tokens": 211, "total_tokens": 243}

    def test_an_error_among_events_is_raised_by_its_own_decoder(self) -> None:
        server = FakeServer(settings=Settings(tts_on_failure="error"))
        with (
            ServedFakes(server) as served,
            OpenAI(base_url=served.url, api_key="none", max_retries=0) as sdk,
        ):
            server.engine.enqueue(dying_script())
            body = {"input": SENTENCE, "response_format": "pcm", "stream_format": "sse"}
            events = sdk.post(
                "/audio/speech", cast_to=object, body=body, stream=True, stream_cls=Stream[object]
            )
            received: list[object] = []
            with pytest.raises(APIError, match="part 1 of the text could not be spoken") as failed:
                received.extend(events)
            assert failed.value.code == "generation_failed"

    def test_a_failure_before_the_first_bytes_is_its_own_class(self) -> None:
        server = FakeServer(settings=Settings(tts_on_failure="error", tts_max_attempts=1))
        server.engine.enqueue(NO_SPEECH)
        with (
            ServedFakes(server) as served,
            OpenAI(base_url=served.url, api_key="none") as sdk,
            pytest.raises(InternalServerError) as failed,
        ):
            sdk.audio.speech.create(
                model="tts-1", voice="alloy", input=SENTENCE, response_format="mp3"
            )
        assert (failed.value.status_code, failed.value.code) == (500, "generation_failed")
        # `x-should-retry: false`: the SDK has not tried again.
        assert len(server.engine.requests) == 1

    def test_a_failure_in_the_middle_is_a_broken_body(self) -> None:
        """And never a short file that looks whole."""
        server = FakeServer(settings=Settings(tts_on_failure="error"))
        with ServedFakes(server) as served:
            server.engine.enqueue(dying_script())
            received = bytearray()

            def read_all() -> None:
                for part in response.iter_raw():
                    received.extend(part)

            body = {"input": SENTENCE, "response_format": "pcm"}
            with (
                httpx2.stream("POST", f"{served.url}/v1/audio/speech", json=body) as response,
                pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"),
            ):
                read_all()
            assert response.status_code == 200
            assert len(received) > 4096


class TestBareConnections:
    """Callers who are no library, on a real uvicorn."""

    def post(self, served: ServedFakes, connection: socket.socket, text: str) -> None:
        body = json.dumps({"input": text, "response_format": "pcm"}).encode()
        head = [
            "POST /v1/audio/speech HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)

    def test_the_middle_of_an_answer_is_left(self, served: ServedFakes) -> None:
        engine = served.fakes.engine
        num_tasks = served.run(count_tasks())
        engine.enqueue(*[Script(speech_ids(12), hangs_at_end=True)] * LIVE_LOOK_AHEAD)
        with served.connect() as connection:
            self.post(served, connection, LONG_TEXT)
            assert connection.recv(12) == b"HTTP/1.1 200"
            wait_until(lambda: engine.num_active == LIVE_LOOK_AHEAD)
        wait_until(lambda: engine.num_active == 0)
        wait_until(lambda: served.run(count_tasks()) == num_tasks)

    def test_nothing_is_read(self, served: ServedFakes) -> None:
        """What the system's buffers take is sent, a few chunks are made ahead, and that is all."""
        engine = served.fakes.engine
        num_tasks = served.run(count_tasks())
        engine.requests.clear()
        with served.connect() as connection:
            # 600 chunks or so.
            self.post(served, connection, LONG_TEXT * 100)
            wait_until(lambda: len(engine.requests) > LIVE_LOOK_AHEAD and engine.num_active == 0)
            assert len(engine.requests) < 200
        wait_until(lambda: served.run(count_tasks()) == num_tasks)
        assert engine.num_active == 0


async def count_tasks() -> int:
    return len(asyncio.all_tasks())


def test_the_pocket_voice_is_what_the_fake_serves() -> None:
    assert POCKET.default_voice.name == "rms"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "is_streamed"),
    [({}, False), ({"stream": True}, False), ({"stream_format": "sse"}, True)],
)
async def test_http_1_0_gets_a_file(fields: dict[str, Any], is_streamed: bool) -> None:
    """It has no chunks: an answer that was cut off looked whole to nginx, which asks so."""
    async with open_stage() as stage:
        call = Call(stage.app, {"input": SENTENCE, **fields}, http_version="1.0")
        await call.run()
    headers = dict(call.sent[0]["headers"])
    assert call.is_whole
    assert (b"content-length" in headers) is not is_streamed
