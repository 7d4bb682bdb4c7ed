"""OpenAI's SDKs: for Python, at the version of the lock and the newest, and for Node."""

import base64
import struct
from typing import Any

import pytest

from tests.clients.conftest import Address
from tests.support.clients import (
    LOCKED,
    NEWEST,
    NO_WORDS,
    PARAGRAPH,
    SENTENCE,
    check_speech,
    check_texts,
    run_node,
    run_python,
    samples_of,
)

pytestmark = pytest.mark.clients

ERRORS = {
    "voice": ["BadRequestError", 400, "voice_not_found"],
    "model": ["NotFoundError", 404, "model_not_found"],
    "blank": ["BadRequestError", 400, "nothing_to_speak"],
    "key": ["AuthenticationError", 401, "invalid_api_key"],
}
UNKNOWN = 0xFFFFFFFF


@pytest.fixture(scope="module", params=[LOCKED, NEWEST], ids=["locked", "newest"])
def python(address: Address, request: pytest.FixtureRequest) -> dict[str, Any]:
    texts = (PARAGRAPH, SENTENCE, NO_WORDS)
    return run_python("openai_sdk", address.url, address.key, *texts, python=request.param)


@pytest.fixture(scope="module")
def node(address: Address) -> dict[str, Any]:
    return run_node("openai_sdk", address.url, address.key, PARAGRAPH, SENTENCE, NO_WORDS)


def sizes_of(audio: str) -> tuple[int, int, int]:
    """Returns the length of a WAV file, and the sizes of the file and of the data in its header."""
    body = base64.b64decode(audio, validate=True)
    assert body[:4] + body[8:16] + body[36:40] == b"RIFFWAVEfmt data"
    (riff_size,), (data_size,) = struct.unpack("<I", body[4:8]), struct.unpack("<I", body[40:44])
    return len(body), riff_size, data_size


class TestPython:
    def test_speech_and_silence(self, python: dict[str, Any]) -> None:
        """A text without words was an error."""
        paragraph, *rest = python["spoken"]
        check_speech(samples_of(paragraph, "wav"), PARAGRAPH)
        check_texts(rest, "wav")

    @pytest.mark.parametrize("call", ["create", "with_raw_response"])
    def test_a_wav_that_is_read_whole_has_true_sizes(
        self, python: dict[str, Any], call: str
    ) -> None:
        audio = python["spoken"][0]["audio"] if call == "create" else python["raw"]
        num_bytes, riff_size, data_size = sizes_of(audio)
        assert (riff_size, data_size) == (num_bytes - 8, num_bytes - 44)

    def test_a_wav_that_is_read_as_a_stream_is_sent_while_it_is_made(
        self, python: dict[str, Any]
    ) -> None:
        """It arrived when all of it was made."""
        audio = python["as_a_stream"]["audio"]
        assert sizes_of(audio)[1:] == (UNKNOWN, UNKNOWN)
        check_speech(samples_of({"audio": audio}, "wav"), PARAGRAPH)

    def test_the_audio_of_a_streamed_chat_can_be_decoded(self, python: dict[str, Any]) -> None:
        """Each part had a padding of its own, so the joined text decoded to 0.2 s."""
        check_speech(samples_of(python["final"], "pcm"), PARAGRAPH)
        assert python["final"]["transcript"] == PARAGRAPH

    def test_models(self, python: dict[str, Any]) -> None:
        assert python["models"][:3] == ["pocket", "orpheus", "tts-1"]
        assert python["retrieved"] == "gpt-4o-mini-tts"

    def test_errors(self, python: dict[str, Any]) -> None:
        assert python["errors"] == ERRORS


class TestNode:
    def test_speech_and_silence(self, node: dict[str, Any]) -> None:
        """A text without words was an error."""
        paragraph, *rest = node["spoken"]
        check_speech(samples_of(paragraph, "mp3"), PARAGRAPH)
        check_texts(rest, "mp3", slack_sec=0.1)

    def test_the_audio_of_a_streamed_chat_can_be_decoded(self, node: dict[str, Any]) -> None:
        """Node stops at the first padding, so the joined text decoded to 0.2 s."""
        check_speech(samples_of(node["final"], "pcm"), PARAGRAPH)
        assert node["final"]["transcript"] == PARAGRAPH

    def test_models(self, node: dict[str, Any]) -> None:
        assert node["models"][:3] == ["pocket", "orpheus", "tts-1"]

    def test_errors(self, node: dict[str, Any]) -> None:
        assert node["errors"] == ERRORS
