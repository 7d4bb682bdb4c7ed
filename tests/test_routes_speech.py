"""`POST /v1/audio/speech`: what is accepted, and what reaches the engine."""

import io
import wave
from collections.abc import Iterator
from dataclasses import replace

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from orpheus_server.checkpoint import OPENAI_VOICES
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.interfaces import TokenRequest
from orpheus_server.published import ENGLISH
from orpheus_server.sampling import SamplingOptions, derive_seed
from orpheus_server.settings import Settings
from tests.support import POCKET, FakeServer, endless_script, pcm_samples, short_script, speech_ids


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
        answer = speaker.post()
        assert (answer.status_code, answer.headers["x-orpheus-degraded-chunks"]) == (200, "1")

    def test_dropped_symbols_are_counted(self, english: Speaker) -> None:
        answer = english.post("Café olé")
        assert answer.headers["x-orpheus-dropped-symbols"] == "2"

    def test_a_retry_leaves_no_trace(self, speaker: Speaker) -> None:
        speaker.server.engine.enqueue(short_script(0))
        answer = speaker.post()
        assert answer.status_code == 200
        assert [name for name in answer.headers if name.startswith("x-orpheus")] == []


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

    def test_the_engine_dies_meanwhile(self, speaker: Speaker) -> None:
        script = Script(speech_ids(9), error=EngineDead("the speech engine has died"), fail_at=14)
        speaker.server.engine.enqueue(script)
        answer = speaker.post()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert answer.json()["error"]["code"] == "engine_unavailable"
        assert speaker.client.get("/ready").status_code == 503
        assert speaker.server.engine.num_active == 0

    def test_one_request_fails_and_the_next_does_not(self, speaker: Speaker) -> None:
        error = GenerationFailed("the prompt has an id outside of the vocabulary")
        speaker.server.engine.enqueue(*[Script((), error=error)] * 7)
        assert speaker.post().status_code == 500
        assert speaker.post().status_code == 200


def test_the_pocket_voice_is_what_the_fake_serves() -> None:
    assert POCKET.default_voice.name == "rms"
