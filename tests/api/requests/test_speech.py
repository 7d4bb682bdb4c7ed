"""Voices, models and sampling of a request."""

from typing import Any, ClassVar

import pytest

from orpheus_server.checkpoints.checkpoint import OPENAI_VOICES
from orpheus_server.interfaces import SamplingOptions
from orpheus_server.settings import Settings
from orpheus_server.synthesis.retry import derive_seed
from tests.support.app import FakeServer
from tests.support.speech import SpeechClient


class TestVoices:
    @pytest.mark.parametrize(
        ("voice", "token_id"),
        [(None, 5), ("rms", 5), ("slt", 6), ({"id": "slt"}, 6), ("tara", 6), (" SLT ", 6)]
        + [({"id": "leo"}, 5), ({"id": "slt", "name": "more"}, 6)],
    )
    def test_name_object_and_alias(
        self, speech: SpeechClient, voice: object, token_id: int
    ) -> None:
        """Three of the earlier servers reject the SDK's voice object with 422."""
        assert speech.last_request(voice=voice).prompt_token_ids[1] == token_id

    @pytest.mark.parametrize("voice", OPENAI_VOICES)
    def test_the_voices_of_openai(
        self, speech: SpeechClient, english: SpeechClient, voice: str
    ) -> None:
        """Clients written for OpenAI offer only these names."""
        assert speech.post(voice=voice).status_code == 200
        assert english.post(voice=voice).status_code == 200

    def test_the_default_and_the_unlisted_voice(self, english: SpeechClient) -> None:
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
    def test_known_names(self, speech: SpeechClient, model: str | None) -> None:
        assert speech.post(model=model).status_code == 200

    def test_hub_id(self, english: SpeechClient) -> None:
        assert english.post(model="canopylabs/orpheus-3b-0.1-ft").status_code == 200


class TestStreamedWav:
    """A caller that waited for the whole file heard nothing for seconds."""

    READS_STREAM: ClassVar = {"x-stainless-raw-response": "stream"}

    @pytest.mark.parametrize(
        ("policy", "headers", "is_streamed"),
        [
            ("auto", {}, False),
            ("auto", {"x-stainless-raw-response": "true"}, False),
            ("auto", READS_STREAM, True),
            ("always", {}, True),
            ("always", READS_STREAM, True),
            ("never", {}, False),
            ("never", READS_STREAM, False),
        ],
    )
    def test_who_gets_a_stream(
        self, policy: Any, headers: dict[str, str], is_streamed: bool
    ) -> None:
        server = FakeServer(settings=Settings(tts_stream_wav=policy))
        with server.client() as client:

            def streams(**fields: object) -> bool:
                body = {"input": "Hello you.", **fields}
                answer = client.post("/v1/audio/speech", json=body, headers=headers)
                assert answer.status_code == 200
                return "content-length" not in answer.headers

            assert streams() is streams(response_format="wav") is is_streamed
            assert streams(stream=None) is is_streamed
            assert streams(stream=True) is True
            assert streams(stream=False) is False
            assert streams(response_format="mp3") is True
            assert streams(response_format="mp3", stream=False) is False
            assert "content-length" not in client.get("/tts", params={"prompt": "Hi."}).headers


class TestSampling:
    def test_defaults_of_the_checkpoint(self, speech: SpeechClient) -> None:
        request = speech.last_request()
        assert request.sampling == SamplingOptions(0.6, 0.9, 1.0)
        # 9 phonemes take at most 56.25 frames; rounded up, plus one.
        assert (request.max_tokens, request.seed) == (58 * 7, None)

    def test_every_parameter_reaches_the_engine(self, speech: SpeechClient) -> None:
        """Another server accepts `temperature` but samples with a constant."""
        request = speech.last_request(
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
    def test_the_limits_are_valid(self, speech: SpeechClient, fields: dict[str, object]) -> None:
        sampling = speech.last_request(**fields).sampling
        for name in set(fields) - {"seed"}:
            assert getattr(sampling, name) == fields[name]

    def test_settings_override_the_checkpoint_but_not_the_request(self) -> None:
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

    def test_the_same_seed_gives_the_same_bytes(self, speech: SpeechClient) -> None:
        assert speech.post(seed=4).content == speech.post(seed=4).content
        first, second = speech.server.engine.requests
        assert first.seed == second.seed == derive_seed(4, 0, 1)
        assert first.request_id != second.request_id
