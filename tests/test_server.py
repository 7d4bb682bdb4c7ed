"""End to end: uvicorn, the vLLM engine with the bundled voice, and OpenAI's SDK."""

import asyncio
import base64
import io
import itertools
import json
import socket
import threading
import time
import wave
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import av
import httpx2
import numpy as np
import numpy.typing as npt
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI
from websockets.sync.client import ClientConnection, connect

from orpheus_server.errors import GenerationFailed
from orpheus_server.interfaces import SamplingOptions, TokenDelta, TokenRequest
from tests.support.app import kept_ids_of
from tests.support.live import LiveServer, read_wav, wait_until
from tests.support.looping_engine import LoopingEngine
from tests.support.recognition import dictation, pick, word_error_rate, words_of

pytestmark = pytest.mark.engine

SENTENCES = [
    "The train to the city leaves at seven in the morning.",
    "My brother keeps three white horses on his farm.",
    "Please close the window before you go to bed.",
    "The children sang a song about the winter snow.",
    "She bought fresh bread and a bottle of milk.",
    "Nobody knows who painted the old wooden door.",
]


@pytest.fixture
def client(server: LiveServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def speak(client: OpenAI, text: str, voice: str = "leo", **options: object) -> bytes:
    return client.audio.speech.create(
        model="tts-1", voice=voice, input=text, response_format="wav", extra_body=options
    ).content


class TestSdk:
    @pytest.mark.parametrize("path", ["/v1", "/v1/", "", "/"])
    def test_base_url_with_and_without_v1(self, server: LiveServer, path: str) -> None:
        """Another project's README shows a base URL without /v1, but its server returns 404."""
        with OpenAI(base_url=server.url + path, api_key="none", max_retries=0) as client:
            samples = read_wav(speak(client, "Yes."))
            assert 0.3 < samples.size / 24_000 < 3
            ids = [model.id for model in client.models.list()]
            assert ids[:3] == ["pocket", "orpheus", "tts-1"]
            assert client.models.retrieve("tts-1").id == "tts-1"

    def test_a_streamed_pcm(self, client: OpenAI) -> None:
        with client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice={"id": "slt"}, input="Hello.", response_format="pcm"
        ) as response:
            body = b"".join(response.iter_bytes())
        assert response.headers["content-type"] == "audio/pcm"
        assert 0.3 < len(body) / 48_000 < 3

    def test_errors_are_exceptions_of_the_sdk(self, client: OpenAI) -> None:
        """With FastAPI's `detail`, the exceptions of the SDK have no code, param or type."""
        with pytest.raises(BadRequestError) as bad:
            speak(client, "Hello.", voice="nobody")
        assert (bad.value.code, bad.value.param) == ("voice_not_found", "voice")
        assert bad.value.request_id is not None
        with pytest.raises(NotFoundError) as unknown:
            client.models.retrieve("someone/else")
        assert unknown.value.code == "model_not_found"
        with pytest.raises(APIStatusError) as empty:
            speak(client, " ")
        assert empty.value.code == "nothing_to_speak"


class TestSpeech:
    @pytest.mark.parametrize("voice", ["leo", "tara"])
    def test_every_sentence_is_recognised(self, client: OpenAI, voice: str) -> None:
        with ThreadPoolExecutor(len(SENTENCES)) as pool:
            answers = list(pool.map(lambda text: speak(client, text, voice, seed=5), SENTENCES))
        heard = [pick(read_wav(answer), 24_000, SENTENCES) for answer in answers]
        assert heard == SENTENCES
        for answer in answers:
            samples = read_wav(answer) / 32767
            assert np.abs(samples).max() < 0.999, "clipped"
            assert np.sqrt(np.mean(samples**2)) > 0.01, "silent"

    def test_a_long_text_keeps_its_words_and_their_order(self, client: OpenAI) -> None:
        text = " ".join(SENTENCES)
        samples = read_wav(speak(client, text, seed=11))
        # The word error rate of single sentences of this voice is 0.15 to 0.25; a lost sentence of
        # six would add 0.17.
        assert word_error_rate(words_of(text), dictation(samples, 24_000)) < 0.4
        assert 12 < samples.size / 24_000 < 30

    def test_the_same_seed_gives_the_same_samples(self, client: OpenAI) -> None:
        first = speak(client, SENTENCES[0], seed=21)
        assert speak(client, SENTENCES[0], seed=21) == first
        assert speak(client, SENTENCES[0], seed=22) != first

    def test_speed_changes_only_the_tempo(self, client: OpenAI) -> None:
        normal = read_wav(speak(client, SENTENCES[2], seed=3))
        fast = read_wav(speak(client, SENTENCES[2], seed=3, speed=1.5))
        assert abs(fast.size * 1.5 / normal.size - 1) < 0.02
        assert pick(fast, 24_000, SENTENCES) == SENTENCES[2]

    def test_control_tokens_in_the_text_are_ignored(self, client: OpenAI) -> None:
        plain = speak(client, "Hello there.", seed=4)
        text = "Hello <custom_token_5><|eot_id|> there. <custom_token_28681>"
        assert speak(client, text, seed=4) == plain

    def test_max_tokens_ends_the_speech(self, client: OpenAI) -> None:
        samples = read_wav(speak(client, SENTENCES[0], max_tokens=140, seed=2))
        assert samples.size <= 20 * 2048
        assert samples.size > 10 * 2048

    def test_greedy_sampling_ends(self, client: OpenAI) -> None:
        """Temperature 0 falls into loops; the guard ends them and a retry samples."""
        assert read_wav(speak(client, SENTENCES[1], temperature=0)).size > 24_000


def decode(body: bytes) -> npt.NDArray[np.int16]:
    """Decodes a file to samples at 24 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=24_000)
    with av.open(io.BytesIO(body), "r") as container:
        frames = [*container.decode(audio=0), None]
        parts = [each.to_ndarray()[0] for frame in frames for each in resampler.resample(frame)]
    return np.concatenate(parts)


class TestStreaming:
    def test_the_joined_stream_is_the_file(self, client: OpenAI) -> None:
        """Another server's stream has clicks and lost frames between pieces."""
        whole = read_wav(speak(client, SENTENCES[0], seed=21))
        with client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="leo",
            input=SENTENCES[0],
            response_format="pcm",
            extra_body={"seed": 21},
        ) as response:
            parts = list(response.iter_bytes())
        assert response.headers["transfer-encoding"] == "chunked"
        assert len(parts) > 3
        np.testing.assert_array_equal(np.frombuffer(b"".join(parts), dtype="<i2"), whole)

    def test_a_wav_for_a_reader_of_streams(self, client: OpenAI) -> None:
        """It arrived in one piece after all of it had been generated."""
        whole = speak(client, SENTENCES[0], seed=21)
        with client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="leo",
            input=SENTENCES[0],
            response_format="wav",
            extra_body={"seed": 21},
        ) as response:
            parts = list(response.iter_bytes())
        assert response.headers["transfer-encoding"] == "chunked"
        assert len(parts) > 3
        streamed = b"".join(parts)
        assert streamed[40:44] == b"\xff\xff\xff\xff"
        assert streamed[44:] == whole[44:]

    @pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "opus", "aac", "flac"])
    def test_every_format_is_recognised(self, client: OpenAI, name: Any) -> None:
        body = client.audio.speech.create(
            model="tts-1",
            voice="tara",
            input=SENTENCES[3],
            response_format=name,
            extra_body={"seed": 5, "stream": True},
        ).content
        samples = np.frombuffer(body, dtype="<i2") if name == "pcm" else decode(body)
        assert pick(samples, 24_000, SENTENCES) == SENTENCES[3]

    def test_events(self, client: OpenAI) -> None:
        with client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="leo",
            input=SENTENCES[0],
            response_format="pcm",
            stream_format="sse",
            extra_body={"seed": 21},
        ) as response:
            events = [json.loads(line[6:]) for line in response.iter_lines() if line]
        assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
        assert events[-1]["type"] == "speech.audio.done"
        assert events[-1]["usage"]["output_tokens"] > 100

    def test_audio_is_streamed_and_a_disconnect_aborts_it(self, server: LiveServer) -> None:
        body = {"input": " ".join(SENTENCES * 4), "response_format": "pcm"}
        with httpx2.stream("POST", f"{server.url}/v1/audio/speech", json=body) as response:
            # Dropping the iterator would close the response.
            parts = response.iter_raw()
            assert len(next(parts)) > 1000
            # Between two chunks the engine may be idle.
            wait_until(lambda: server.engine.num_active > 0, limit_sec=5)
        wait_until(lambda: server.engine.num_active == 0, limit_sec=5)


class TestRollback:
    TEXT = "The train to the city leaves at seven in the morning, and my brother takes it."

    @pytest.fixture
    def looping(self, server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> LoopingEngine:
        """The real engine, with first attempts that loop after two seconds."""
        runner = server.runtime.get_synthesizer()._chunk_synthesizer._runner
        engine = LoopingEngine(
            server.engine,
            server.runtime.checkpoint.layout,
            lambda request: 24 if request.request_id.endswith("-1") else None,
        )
        monkeypatch.setattr(runner, "_engine", engine)
        return engine

    def test_a_loop_in_the_middle_of_a_stream_is_rolled_back(
        self, server: LiveServer, client: OpenAI, looping: LoopingEngine
    ) -> None:
        """The rest of the text was missing from the audio."""
        before = server.runtime.counts.rollbacks.total()
        started = time.perf_counter()
        with client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="leo",
            input=self.TEXT,
            response_format="pcm",
            stream_format="sse",
            extra_body={"seed": 5},
        ) as response:
            events = [json.loads(line[6:]) for line in response.iter_lines() if line]
        assert server.runtime.counts.rollbacks.total() > before
        resumed = [each for each in looping.requests if each.request_id.endswith("-2")]
        assert [len(kept_ids_of(each)) // 7 for each in resumed][0] == 24
        audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
        samples = np.frombuffer(audio, dtype="<i2")
        rtf = (time.perf_counter() - started) / (samples.size / 24_000)
        if rtf > 0.5:
            pytest.skip(f"a loop is played before it is found here: real-time factor {rtf:.2f}")
        assert events[-1]["degraded_chunks"] == []
        assert pick(samples, 24_000, [self.TEXT, *SENTENCES]) == self.TEXT
        steps = np.abs(np.diff(samples.astype(np.int32)))
        whole = read_wav(speak(client, self.TEXT, seed=6))
        assert steps.max() <= 1.5 * np.abs(np.diff(whole.astype(np.int32))).max()


class TestWebSocket:
    @pytest.fixture
    def connection(self, server: LiveServer) -> Iterator[ClientConnection]:
        url = server.url.replace("http://", "ws://")
        with connect(f"{url}/v1/audio/stream") as connection:
            send(connection, type="session.start", voice="leo", seed=11)
            assert receive(connection)["type"] == "session.started"
            yield connection

    def test_text_in_small_deltas(self, connection: ClientConnection) -> None:
        text = " ".join(SENTENCES)
        for start in range(0, len(text), 4):
            send(connection, type="text.delta", text=text[start : start + 4])
        send(connection, type="text.done")
        events, audio = receive_all(connection)
        assert events[0] == {"type": "audio.start", "utterance": 0}
        chunks, done = events[1:-1], events[-1]
        assert " ".join(chunk["text"] for chunk in chunks) == text
        assert len(chunks) > 2
        assert (done["type"], done["is_cancelled"]) == ("audio.done", False)
        samples = np.frombuffer(audio, dtype="<i2")
        assert samples.size == done["num_samples"]
        assert done["usage"]["output_tokens"] > 82 * 12
        # Each chunk starts at the `start_sample` of its event.
        edges = [*(chunk["start_sample"] for chunk in chunks), samples.size]
        texts = [chunk["text"] for chunk in chunks]
        heard = [pick(samples[a:b], 24_000, texts) for a, b in itertools.pairwise(edges)]
        assert heard == texts

    def test_cancel_stops_the_engine_and_the_session_continues(
        self, server: LiveServer, connection: ClientConnection
    ) -> None:
        send(connection, type="text.delta", text=" ".join(SENTENCES * 4))
        while not isinstance(connection.recv(60), bytes):
            pass
        wait_until(lambda: server.engine.num_active > 0, limit_sec=5)
        send(connection, type="cancel")
        events, _ = receive_all(connection)
        assert (events[-1]["utterance"], events[-1]["is_cancelled"]) == (0, True)
        assert server.engine.num_active == 0
        send(connection, type="text.delta", text=SENTENCES[2])
        send(connection, type="text.done")
        events, audio = receive_all(connection)
        assert (events[-1]["utterance"], events[-1]["is_cancelled"]) == (1, False)
        heard = pick(np.frombuffer(audio, dtype="<i2"), 24_000, SENTENCES)
        assert heard == SENTENCES[2]

    def test_a_disconnect_stops_the_engine(
        self, server: LiveServer, connection: ClientConnection
    ) -> None:
        send(connection, type="text.delta", text=" ".join(SENTENCES * 4))
        wait_until(lambda: server.engine.num_active > 0, limit_sec=30)
        connection.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: server.engine.num_active == 0, limit_sec=5)


def send(connection: ClientConnection, **event: object) -> None:
    connection.send(json.dumps(event))


def receive(connection: ClientConnection) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(connection.recv(60))
    return event


def receive_all(connection: ClientConnection) -> tuple[list[dict[str, Any]], bytes]:
    """Returns the events and audio of one utterance."""
    events: list[dict[str, Any]] = []
    audio = bytearray()
    while not events or events[-1]["type"] not in ("audio.done", "error"):
        message = connection.recv(60)
        if isinstance(message, bytes):
            audio += message
        else:
            events.append(json.loads(message))
    return events, bytes(audio)


class TestEngine:
    """The engine, called on the server's event loop."""

    def request(self, server: LiveServer, **changes: object) -> TokenRequest:
        checkpoint = server.runtime.checkpoint
        before, after = checkpoint.prompt.before, checkpoint.prompt.after
        base = TokenRequest(
            request_id="test",
            prompt_token_ids=(*before, 5, 19, 63, 23, 55, 9, *after),
            sampling=checkpoint.sampling,
            max_tokens=700,
            seed=1,
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    def collect(self, server: LiveServer, request: TokenRequest) -> list[TokenDelta]:
        async def work() -> list[TokenDelta]:
            return [delta async for delta in server.engine.generate(request)]

        return server.run(work())

    @pytest.mark.parametrize("temperature", [0.0, 0.6, 2.0])
    def test_tokens_match_their_slots_and_stops_are_between_frames(
        self, server: LiveServer, temperature: float
    ) -> None:
        layout = server.runtime.checkpoint.layout
        sampling = SamplingOptions(temperature=temperature, top_p=1.0, repetition_penalty=1.0)
        requests = [self.request(server, sampling=sampling, seed=seed) for seed in range(8)]
        for request in requests:
            deltas = self.collect(server, request)
            ids = [token_id for delta in deltas for token_id in delta.token_ids]
            if deltas[-1].finish_reason == "stop":
                assert ids.pop() in layout.stop_token_ids
                assert len(ids) % 7 == 0
                assert len(ids) >= 7
            slots = [(token_id - layout.audio_token_base) // 128 for token_id in ids]
            assert slots == [index % 7 for index in range(len(ids))]

    def test_deltas_are_whole_frames_and_none_are_lost(self, server: LiveServer) -> None:
        """vLLM's cumulative outputs replace those that a slow reader has not yet consumed."""
        sampling = replace(server.runtime.checkpoint.sampling, temperature=0.6)
        request = self.request(server, sampling=sampling)
        fast = self.collect(server, request)
        assert len(fast[0].token_ids) == 1
        assert {len(delta.token_ids) for delta in fast[1:-1]} <= {7, 14, 21}

        async def slow() -> list[int]:
            ids: list[int] = []
            async with aclosing(server.engine.generate(request)) as deltas:
                async for delta in deltas:
                    ids += delta.token_ids
                    for _ in itertools.repeat(None, 2000):
                        await asyncio.sleep(0)
            return ids

        assert server.run(slow()) == [each for delta in fast for each in delta.token_ids]

    @pytest.mark.parametrize("ids", [(992,), (-1,), (10**7,), ()])
    def test_invalid_prompt_ids_are_rejected_and_the_engine_survives(
        self, server: LiveServer, ids: tuple[int, ...]
    ) -> None:
        """A single id outside the vocabulary kills the engine core for all requests."""
        with pytest.raises(GenerationFailed, match="vocabulary|empty"):
            self.collect(server, self.request(server, prompt_token_ids=ids))
        assert self.collect(server, self.request(server))[-1].finish_reason == "stop"

    @pytest.mark.parametrize(
        ("max_tokens", "match"), [(0, "max_tokens is less than 1"), (10**9, "do not fit")]
    )
    def test_an_invalid_max_tokens_is_rejected(
        self, server: LiveServer, max_tokens: int, match: str
    ) -> None:
        with pytest.raises(GenerationFailed, match=match):
            self.collect(server, self.request(server, max_tokens=max_tokens))

    def test_parameters_that_vllm_rejects_fail_one_request(self, server: LiveServer) -> None:
        sampling = SamplingOptions(temperature=-1.0, top_p=0.9, repetition_penalty=1.0)
        with pytest.raises(GenerationFailed, match="temperature"):
            self.collect(server, self.request(server, sampling=sampling))
        assert server.engine.is_alive
        assert server.engine.num_active == 0

    def test_closing_the_generator_aborts_in_the_engine(self, server: LiveServer) -> None:
        async def work() -> tuple[int, int]:
            deltas: AsyncGenerator[TokenDelta, None] = server.engine.generate(self.request(server))
            await anext(deltas)
            during = server.engine.num_active
            await deltas.aclose()
            return during, server.engine.num_active

        assert server.run(work()) == (1, 0)

    def test_a_second_event_loop_raises_an_error(self, server: LiveServer) -> None:
        """vLLM would never wake the second loop; another server hangs for this reason."""

        async def work() -> None:
            await anext(server.engine.generate(self.request(server)))

        with pytest.raises(RuntimeError, match="second event loop"):
            asyncio.run(work())


class TestLeaks:
    def test_a_disconnect_stops_the_engine(self, server: LiveServer) -> None:
        """Neither FastAPI nor uvicorn cancels a handler that has not started its response."""
        body = b'{"input": "' + " ".join(SENTENCES * 4).encode() + b'"}'
        host, port = server.url.removeprefix("http://").split(":")
        head = (
            f"POST /v1/audio/speech HTTP/1.1\r\nHost: {host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + body)
            wait_until(lambda: server.engine.num_active > 0, limit_sec=30)
        wait_until(lambda: server.engine.num_active == 0, limit_sec=5)

    def test_parallel_and_sequential_requests_leak_nothing(
        self, server: LiveServer, client: OpenAI
    ) -> None:
        """Another server hangs on its second request, because each creates an event loop."""
        speak(client, "Yes.")
        before = threading.active_count()
        with ThreadPoolExecutor(8) as pool:
            sizes = list(pool.map(lambda index: len(speak(client, f"Number {index}.")), range(40)))
        assert min(sizes) > 10_000
        for _ in range(10):
            assert len(speak(client, "No!")) > 10_000
        assert server.engine.num_active == 0
        assert threading.active_count() <= before + server.runtime.config.max_workers + 4


def test_the_answer_is_a_valid_wav(client: OpenAI) -> None:
    with wave.open(io.BytesIO(speak(client, "Good morning."))) as file:
        assert file.getnframes() > 10_000
