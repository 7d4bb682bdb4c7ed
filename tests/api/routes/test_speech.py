"""`POST /v1/audio/speech`: bodies, headers, failures, the SDK and raw connections."""

import asyncio
import base64
import io
import json
import socket
import wave
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np
import pytest
from openai import APIError, InternalServerError, OpenAI
from openai._streaming import Stream

from orpheus_server.errors import GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.settings import Settings
from orpheus_server.synthesis.synthesizer import LIVE_LOOK_AHEAD
from tests.support.app import (
    POCKET,
    FakeServer,
    endless_script,
    pcm_samples,
    short_script,
    speech_ids,
)
from tests.support.harness import SENTENCE, Call, open_harness
from tests.support.served import ServedFakes, wait_until
from tests.support.speech import (
    LONG_TEXT,
    MEDIA_TYPES,
    NO_SPEECH,
    SpeechClient,
    decode,
    read_events,
)


class TestBodies:
    @pytest.mark.parametrize("path", ["/v1/audio/speech", "/audio/speech"])
    def test_wav_with_correct_sizes_is_the_default(self, speech: SpeechClient, path: str) -> None:
        """With the sizes of a stream's header, `wave` expects two gigabytes."""
        answer = speech.client.post(path, json={"input": "Hello you."})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
        assert answer.headers["content-length"] == str(len(answer.content))
        with wave.open(io.BytesIO(answer.content)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
            assert file.getnframes() == 9 * 2048
            samples = file.readframes(file.getnframes())
        assert samples == speech.post().content
        assert len(answer.content) == 44 + 9 * 2 * 2048
        assert not {"cache-control", "x-accel-buffering"} & set(answer.headers)

    def test_pcm(self, speech: SpeechClient) -> None:
        answer = speech.post()
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/pcm")
        samples = pcm_samples(answer.content)
        assert samples.size == 9 * 2048
        assert 9000 < abs(samples.astype(int)).max() < 10_000  # the tone's 0.3

    def test_a_long_text_of_several_chunks(self, speech: SpeechClient) -> None:
        answer = speech.post("Abcdefg hijklmno pqrstuv. " * 12)
        sizes = {len(request.prompt_token_ids) for request in speech.server.engine.requests}
        assert len(speech.server.engine.requests) > 3
        assert max(sizes) < 90
        assert len(answer.content) == sum(
            2 * 2048 * num_frames for num_frames, _ in speech.server.decoder.calls
        )

    @pytest.mark.parametrize("speed", [0.25, 0.5, 1, 1.5, 4.0])
    def test_speed_changes_the_length(self, speech: SpeechClient, speed: float) -> None:
        text = "Abcdefg hijklmno pqrstuv. " * 3
        normal = pcm_samples(speech.post(text).content).size
        size = pcm_samples(speech.post(text, speed=speed).content).size
        assert size == pytest.approx(normal / speed, rel=0.03)

    def test_null_means_unset(self, speech: SpeechClient) -> None:
        """Typed clients send null for unset fields."""
        names = "model voice instructions speed stream_format stream temperature top_p top_k"
        names += " min_p repetition_penalty max_tokens seed"
        answer = speech.post(**dict.fromkeys(names.split()))
        assert answer.status_code == 200
        assert answer.content == speech.post().content
        first, second = speech.server.engine.requests
        assert replace(first, request_id="") == replace(second, request_id="")
        wav = speech.client.post("/v1/audio/speech", json={"input": "Hi.", "response_format": None})
        assert wav.headers["content-type"] == "audio/wav"

    @pytest.mark.parametrize("accept", ["application/octet-stream", "text/html", "image/png"])
    def test_the_accept_header_has_no_effect(self, speech: SpeechClient, accept: str) -> None:
        """The SDK sends application/octet-stream for every format."""
        answer = speech.client.post(
            "/v1/audio/speech", json={"input": "Hello you."}, headers={"accept": accept}
        )
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")

    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "APPLICATION/JSON; charset=utf-8", "application/problem+json"],
    )
    def test_all_json_content_types(self, speech: SpeechClient, content_type: str) -> None:
        answer = speech.client.post(
            "/v1/audio/speech", content=b'{"input": "Hi."}', headers={"content-type": content_type}
        )
        assert answer.status_code == 200


class TestHeaders:
    def test_ignored_fields_are_named(self, speech: SpeechClient) -> None:
        """Rejecting unknown fields would break clients that use other servers' extensions."""
        answer = speech.post(instructions="Cheerful.", lang_code="a", volume_multiplier=2)
        assert answer.status_code == 200
        assert answer.headers["x-orpheus-ignored-fields"] == (
            "instructions, lang_code, volume_multiplier"
        )
        assert "x-orpheus-ignored-fields" not in speech.post(instructions="").headers

    def test_field_names_cannot_inject_headers(self, speech: SpeechClient) -> None:
        fields = {"a\r\nset-cookie: b=c": 1, "é": 2, "": 3, "a b": 4, "x" * 50: 5}
        answer = speech.post(**fields, **{f"field_{index}": 1 for index in range(30)})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        named = answer.headers["x-orpheus-ignored-fields"].split(", ")
        assert named == ["x" * 40, *(f"field_{index}" for index in range(5))]

    def test_degraded_chunks_are_counted(self, speech: SpeechClient) -> None:
        assert "x-orpheus-degraded-chunks" not in speech.post().headers
        speech.server.engine.enqueue(*[endless_script(5)] * 7)
        answer = speech.post(stream=False)
        assert (answer.status_code, answer.headers["x-orpheus-degraded-chunks"]) == (200, "1")

    def test_dropped_symbols_are_counted(self, english: SpeechClient) -> None:
        answer = english.post("Café olé", stream=False)
        assert answer.headers["x-orpheus-dropped-symbols"] == "2"

    def test_a_stream_has_headers_about_the_text(self, english: SpeechClient) -> None:
        """The results of its chunks are not known when the headers are sent."""
        answer = english.post("Hello <resoplido> you.", instructions="Cheerful.")
        assert answer.headers["x-orpheus-dropped-tags"] == "1"
        assert answer.headers["x-orpheus-ignored-fields"] == "instructions"

    def test_a_retry_leaves_no_trace(self, speech: SpeechClient) -> None:
        speech.server.engine.enqueue(short_script(0))
        answer = speech.post()
        assert answer.status_code == 200
        own = [name for name in answer.headers if name.startswith("x-orpheus")]
        assert own == ["x-orpheus-queue-ms"]


class TestFailures:
    def test_all_attempts_failed_and_degraded_audio_is_off(self) -> None:
        """Without the header the SDK would retry the same text twice."""
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

    def test_one_request_fails_and_the_next_does_not(self, speech: SpeechClient) -> None:
        error = GenerationFailed("the prompt has an id outside of the vocabulary")
        speech.server.engine.enqueue(*[Script((), error=error)] * 7)
        assert speech.post().status_code == 500
        assert speech.post().status_code == 200


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    with ServedFakes(FakeServer()) as served:
        yield served


@pytest.fixture
def sdk(served: ServedFakes) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def failing_script() -> Script:
    """Speech that fails after more than a second, while the engine stays alive."""
    return endless_script(20)


class TestSdk:
    """The real SDK against a real uvicorn."""

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_every_format_whole_and_streamed(self, sdk: OpenAI, name: Any) -> None:
        options: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "response_format": name}
        body = sdk.audio.speech.create(input=SENTENCE, **options).content
        streaming = sdk.audio.speech.with_streaming_response
        with streaming.create(input=SENTENCE, **options) as response:
            streamed = b"".join(response.iter_bytes())
        assert response.headers["content-type"] == MEDIA_TYPES[name]
        assert response.headers["transfer-encoding"] == "chunked"
        assert (streamed == body) is (name != "wav")
        np.testing.assert_array_equal(decode(name, streamed), decode(name, body))
        assert decode(name, body).size > 24_000

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

    def test_an_error_event_is_raised_by_the_sdk(self) -> None:
        server = FakeServer(settings=Settings(tts_on_failure="error"))
        with (
            ServedFakes(server) as served,
            OpenAI(base_url=served.url, api_key="none", max_retries=0) as sdk,
        ):
            server.engine.enqueue(failing_script())
            body = {"input": SENTENCE, "response_format": "pcm", "stream_format": "sse"}
            events = sdk.post(
                "/audio/speech", cast_to=object, body=body, stream=True, stream_cls=Stream[object]
            )
            received: list[object] = []
            with pytest.raises(APIError, match="part 1 of the text could not be spoken") as failed:
                received.extend(events)
            assert failed.value.code == "generation_failed"

    def test_a_failure_before_the_first_bytes_is_a_server_error(self) -> None:
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
        # `x-should-retry: false`: the SDK has not retried.
        assert len(server.engine.requests) == 1

    def test_a_failure_in_the_middle_breaks_the_body(self) -> None:
        """A short file would look complete."""
        server = FakeServer(settings=Settings(tts_on_failure="error"))
        with ServedFakes(server) as served:
            server.engine.enqueue(failing_script())
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
            # The amount received before the failure depends on timing.
            assert received


class TestRawConnections:
    """Clients without an HTTP library, on a real uvicorn."""

    def post(self, served: ServedFakes, connection: socket.socket, text: str) -> None:
        body = json.dumps({"input": text, "response_format": "pcm"}).encode()
        head = [
            "POST /v1/audio/speech HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)

    def test_a_client_disconnects_in_the_middle(self, served: ServedFakes) -> None:
        engine = served.fakes.engine
        num_tasks = served.run(count_tasks())
        engine.enqueue(*[Script(speech_ids(12), hangs_at_end=True)] * LIVE_LOOK_AHEAD)
        with served.connect() as connection:
            self.post(served, connection, LONG_TEXT)
            assert connection.recv(12) == b"HTTP/1.1 200"
            wait_until(lambda: engine.num_active == LIVE_LOOK_AHEAD)
        wait_until(lambda: engine.num_active == 0)
        wait_until(lambda: served.run(count_tasks()) == num_tasks)

    def test_a_client_that_does_not_read(self, served: ServedFakes) -> None:
        """Only the system's buffers are filled and a few chunks generated ahead."""
        engine = served.fakes.engine
        num_tasks = served.run(count_tasks())
        engine.requests.clear()
        with served.connect() as connection:
            # About 600 chunks.
            self.post(served, connection, LONG_TEXT * 100)
            wait_until(lambda: len(engine.requests) > LIVE_LOOK_AHEAD and engine.num_active == 0)
            assert len(engine.requests) < 200
        wait_until(lambda: served.run(count_tasks()) == num_tasks)
        assert engine.num_active == 0


async def count_tasks() -> int:
    return len(asyncio.all_tasks())


def test_the_fake_server_has_the_pocket_voice() -> None:
    assert POCKET.default_voice.name == "rms"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "is_streamed"),
    [({}, False), ({"stream": True}, False), ({"stream_format": "sse"}, True)],
)
async def test_http_1_0_gets_a_file(fields: dict[str, Any], is_streamed: bool) -> None:
    """It has no chunked encoding: to nginx, which uses it, a body cut short looked complete."""
    async with open_harness() as harness:
        call = Call(harness.app, {"input": SENTENCE, **fields}, http_version="1.0")
        await call.run()
    headers = dict(call.sent[0]["headers"])
    assert call.is_whole
    assert (b"content-length" in headers) is not is_streamed
