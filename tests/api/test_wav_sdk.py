"""`wav` with OpenAI's SDK and a real uvicorn: files for callers of `create`, else streams."""

import io
import struct
import wave
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from orpheus_server.settings import Settings
from tests.support.app import FakeServer
from tests.support.harness import SENTENCE, whole_script
from tests.support.served import ServedFakes, wait_until

NUM_SAMPLES = 30 * 2048
SPEECH: dict[str, Any] = {
    "model": "tts-1",
    "voice": "alloy",
    "input": SENTENCE,
    "response_format": "wav",
}


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    with ServedFakes(FakeServer()) as served:
        yield served


@pytest.fixture(scope="module")
def sdk(served: ServedFakes) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def check_file(headers: Mapping[str, str], body: bytes) -> None:
    """The header states the true sizes, and Python's `wave` reads all samples."""
    assert headers["content-length"] == str(len(body))
    assert struct.unpack("<I", body[4:8]) == (len(body) - 8,)
    with wave.open(io.BytesIO(body)) as file:
        assert file.getnframes() == NUM_SAMPLES
        assert len(file.readframes(NUM_SAMPLES)) == 2 * NUM_SAMPLES


def check_stream(headers: Mapping[str, str], body: bytes) -> None:
    """The header states no size: to Python's `wave` it is 25 hours of samples."""
    assert headers["transfer-encoding"] == "chunked"
    assert headers["x-accel-buffering"] == "no"
    assert body[4:8] == body[40:44] == b"\xff\xff\xff\xff"
    with wave.open(io.BytesIO(body)) as file:
        assert file.getnframes() == 2**31 - 1
        assert len(file.readframes(file.getnframes())) == 2 * NUM_SAMPLES


class TestSync:
    def test_create(self, sdk: OpenAI) -> None:
        answer = sdk.audio.speech.create(**SPEECH)
        check_file(answer.response.headers, answer.content)

    def test_with_raw_response(self, sdk: OpenAI) -> None:
        answer = sdk.audio.speech.with_raw_response.create(**SPEECH)
        check_file(answer.headers, answer.content)

    def test_iter_bytes(self, sdk: OpenAI) -> None:
        with sdk.audio.speech.with_streaming_response.create(**SPEECH) as response:
            body = b"".join(response.iter_bytes())
        check_stream(response.headers, body)

    def test_stream_to_file(self, sdk: OpenAI, tmp_path: Path) -> None:
        with sdk.audio.speech.with_streaming_response.create(**SPEECH) as response:
            response.stream_to_file(tmp_path / "speech.wav")
        check_stream(response.headers, (tmp_path / "speech.wav").read_bytes())

    @pytest.mark.parametrize("stream", [True, False])
    def test_the_body_overrides_it(self, sdk: OpenAI, stream: bool) -> None:
        fields = {**SPEECH, "extra_body": {"stream": stream}}
        with sdk.audio.speech.with_streaming_response.create(**fields) as response:
            body = response.read()
        (check_stream if stream else check_file)(response.headers, body)
        answer = sdk.audio.speech.create(**fields)
        (check_stream if stream else check_file)(answer.response.headers, answer.content)

    @pytest.mark.parametrize("policy", ["always", "never"])
    def test_a_policy_for_all_callers(self, policy: Any) -> None:
        check = check_stream if policy == "always" else check_file
        with (
            ServedFakes(FakeServer(settings=Settings(tts_stream_wav=policy))) as served,
            OpenAI(base_url=served.url, api_key="none", max_retries=0) as sdk,
        ):
            answer = sdk.audio.speech.create(**SPEECH)
            check(answer.response.headers, answer.content)
            with sdk.audio.speech.with_streaming_response.create(**SPEECH) as response:
                body = response.read()
            check(response.headers, body)

    def test_it_is_read_while_it_is_made(self, served: ServedFakes, sdk: OpenAI) -> None:
        """The reader got nothing before the last sample had been generated."""
        script = replace(whole_script(), hangs_at_end=True)
        served.fakes.engine.enqueue(script)
        with sdk.audio.speech.with_streaming_response.create(**SPEECH) as response:
            first = next(response.iter_bytes(44))
            assert served.fakes.engine.num_active == 1
        assert first[40:44] == b"\xff\xff\xff\xff"
        wait_until(lambda: served.fakes.engine.num_active == 0)


@pytest.mark.anyio
async def test_async(served: ServedFakes, tmp_path: Path) -> None:
    async with AsyncOpenAI(base_url=served.url, api_key="none", max_retries=0) as sdk:
        answer = await sdk.audio.speech.create(**SPEECH)
        check_file(answer.response.headers, answer.content)
        raw = await sdk.audio.speech.with_raw_response.create(**SPEECH)
        check_file(raw.headers, raw.content)
        async with sdk.audio.speech.with_streaming_response.create(**SPEECH) as response:
            body = b"".join([part async for part in response.iter_bytes()])
        check_stream(response.headers, body)
        async with sdk.audio.speech.with_streaming_response.create(**SPEECH) as response:
            await response.stream_to_file(tmp_path / "speech.wav")
        check_stream(response.headers, (tmp_path / "speech.wav").read_bytes())
