"""Bad input of `POST /v1/audio/speech`: status and code; never a 5xx, never a generation.

Bodies over the limit, unknown routes and methods are in `tests/test_app.py`.
"""

import json
import math
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.settings import Settings
from tests.support.app import POCKET, FakeServer

JSON = "application/json"
SPEECH = "/v1/audio/speech"


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeServer, TestClient]]:
    server = FakeServer()
    with server.client() as client:
        yield server, client


@pytest.fixture
def server(shared: tuple[FakeServer, TestClient]) -> FakeServer:
    shared[0].engine.requests.clear()
    return shared[0]


@pytest.fixture
def client(shared: tuple[FakeServer, TestClient]) -> TestClient:
    return shared[1]


BLANK = [
    ("empty", ""),
    ("white space", " \t\r\n \u3000"),
    ("invisible", "\u200b \ufeff"),
    ("a lone surrogate", "\ud800"),
    ("control characters", "\u0000\u0007\u001b"),
]

BAD_SPEEDS: list[object] = [0, 0.24, 4.01, -1, 1e308, math.nan, math.inf, -math.inf]
BAD_SPEEDS += ["1", True, [], {}]

FIELDS: list[tuple[str, object, str]] = [
    ("input", None, "missing_required_parameter"),
    ("input", 5, "invalid_value"),
    ("input", ["Hello."], "invalid_value"),
    ("voice", "nobody", "voice_not_found"),
    ("voice", "../../etc/passwd", "voice_not_found"),
    ("voice", {"id": "nobody"}, "voice_not_found"),
    ("voice", {"name": "rms"}, "missing_required_parameter"),
    ("voice", 7, "invalid_value"),
    ("voice", "x" * 30_000, "voice_not_found"),
    ("voice", "a\r\nset-cookie: b=c \ud800", "voice_not_found"),
    ("model", 7, "invalid_value"),
    ("response_format", "ogg", "unsupported_response_format"),
    ("response_format", "MP3", "unsupported_response_format"),
    ("response_format", "x" * 30_000, "unsupported_response_format"),
    ("response_format", 7, "invalid_value"),
    ("instructions", "x" * 4097, "string_above_max_length"),
    ("instructions", 7, "invalid_value"),
    ("stream_format", "websocket", "invalid_value"),
    ("stream_format", ["sse"], "invalid_value"),
    ("stream", "true", "invalid_value"),
    *(("speed", value, "invalid_value") for value in BAD_SPEEDS),
    ("speed", 10**400, "invalid_value"),
    *(("temperature", value, "invalid_value") for value in (-0.01, 2.01, math.nan, "0.6", True)),
    *(("top_p", value, "invalid_value") for value in (-0.1, 1.01, 1e9, math.inf, "1")),
    *(("top_k", value, "invalid_value") for value in (-1, 200_001, 1.5, 40.0, True, "40")),
    *(("min_p", value, "invalid_value") for value in (-0.01, 1.01, math.nan, "0")),
    *(("repetition_penalty", value, "invalid_value") for value in (0.49, 2.01, 0, math.inf, "1")),
    *(("max_tokens", value, "invalid_value") for value in (0, 99, 8193, 1e9, 100.0, "200", True)),
    *(("seed", value, "invalid_value") for value in (2**63, -(2**63) - 1, 1.5, "1", True, 10**400)),
]

BODIES: list[tuple[bytes, str, int, str]] = [
    (b"", JSON, 400, "missing_required_parameter"),
    (b"null", JSON, 400, "missing_required_parameter"),
    (b"{}", JSON, 400, "missing_required_parameter"),
    (b"[]", JSON, 400, "invalid_value"),
    (b'"Hello."', JSON, 400, "invalid_value"),
    (b"7", JSON, 400, "invalid_value"),
    (b"NaN", JSON, 400, "invalid_value"),
    (b"true", JSON, 400, "invalid_value"),
    (b'{"input": "Hel', JSON, 400, "invalid_json"),
    (b'{"input": "Hello."} {}', JSON, 400, "invalid_json"),
    (b"{'input': 'Hello.'}", JSON, 400, "invalid_json"),
    (b'{"input": "tab\there"}', JSON, 400, "invalid_json"),
    (b'{"input": "\xff\xfe"}', JSON, 400, "invalid_json"),
    (b"[" * 100_000, JSON, 400, "invalid_json"),
    (b'{"a":' * 100_000, JSON, 400, "invalid_json"),
    (b'{"input": "Hi.", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON, 400, "invalid_json"),
    (b'{"input": "Hi.", "seed": 1' + b"0" * 5000 + b"}", JSON, 400, "invalid_json"),
    (b'{"input": "Hi.", "\\ud800": 1}', JSON, 400, "invalid_value"),
    (b'{"input": "Hi."}', "text/plain", 415, "unsupported_media_type"),
    (b'{"input": "Hi."}', "application/jsonx", 415, "unsupported_media_type"),
    (b'{"input": "Hi."}', "x" * 5000, 415, "unsupported_media_type"),
    (b"input=Hi.", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    (
        b'--b\r\nContent-Disposition: form-data; name="input"\r\n\r\nHi.\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
        415,
        "unsupported_media_type",
    ),
]


def check_rejection(
    server: FakeServer, client: TestClient, body: bytes, content_type: str = JSON
) -> tuple[int, str, str | None]:
    """Asserts a small error without a generation; returns its status, code and param."""
    answer = client.post(SPEECH, content=body, headers={"content-type": content_type})
    assert answer.headers["content-type"] == JSON
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-should-retry"] == "false"
    assert len(answer.content) < 2048
    assert POCKET.source not in answer.text
    assert ".py" not in answer.text
    assert server.engine.requests == []
    error = answer.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["type"] == "invalid_request_error"
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize("text", [text for _, text in BLANK], ids=[name for name, _ in BLANK])
def test_a_blank_text(server: FakeServer, client: TestClient, text: str) -> None:
    body = json.dumps({"input": text}).encode()
    assert check_rejection(server, client, body) == (400, "nothing_to_speak", "input")


@pytest.mark.parametrize(
    ("name", "value", "code"), FIELDS, ids=[f"{name}={value!r:.20}" for name, value, _ in FIELDS]
)
def test_invalid_fields(
    server: FakeServer, client: TestClient, name: str, value: object, code: str
) -> None:
    body = json.dumps({"input": "Hello.", name: value}).encode()
    assert check_rejection(server, client, body) == (400, code, name)


@pytest.mark.parametrize("extra", [{"stream": True}, {"stream": False}, {"stream_format": "sse"}])
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("input", " \n", "nothing_to_speak"),
        ("response_format", "ogg", "unsupported_response_format"),
        ("voice", "nobody", "voice_not_found"),
        ("speed", 9, "invalid_value"),
    ],
)
def test_a_stream_is_rejected_like_a_file(
    server: FakeServer,
    client: TestClient,
    name: str,
    value: object,
    code: str,
    extra: dict[str, object],
) -> None:
    """Other servers respond to such a request with status 200 and an empty body."""
    body = json.dumps({"input": "Hello.", **extra, name: value}).encode()
    assert check_rejection(server, client, body) == (400, code, name)


def test_events_without_streaming(server: FakeServer, client: TestClient) -> None:
    body = json.dumps({"input": "Hello.", "stream": False, "stream_format": "sse"}).encode()
    assert check_rejection(server, client, body) == (400, "unsupported_value", "stream_format")


@pytest.mark.parametrize("model", ["gpt-4", "../x", "x" * 30_000])
def test_an_unknown_model(server: FakeServer, client: TestClient, model: str) -> None:
    body = json.dumps({"input": "Hello.", "model": model}).encode()
    assert check_rejection(server, client, body) == (404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    BODIES,
    ids=[f"{body[:24]!r} as {kind:.30}" for body, kind, _, _ in BODIES],
)
def test_invalid_bodies(
    server: FakeServer, client: TestClient, body: bytes, content_type: str, status: int, code: str
) -> None:
    """Nesting of 100,000 levels raises RecursionError in the parser: a 500 in other servers."""
    param = "input" if body == b"{}" else None
    assert check_rejection(server, client, body, content_type) == (status, code, param)


def test_a_missing_content_type(server: FakeServer, client: TestClient) -> None:
    answer = client.post(SPEECH, content=b'{"input": "Hello."}')
    assert answer.status_code == 415
    assert answer.json()["error"]["message"] == (
        "The content type must be application/json, not 'none'."
    )


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip"])
def test_encoded_bodies(client: TestClient, encoding: str) -> None:
    """50 KB of gzip can decompress to 50 MB."""
    headers = {"content-type": JSON, "content-encoding": encoding}
    answer = client.post(SPEECH, content=b"\x1f\x8b", headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"


class TestLength:
    @pytest.mark.parametrize("char", ["a", "é", "😀"])
    def test_the_exact_limit_passes_escaped_and_unescaped(self, char: str) -> None:
        server = FakeServer(settings=Settings(tts_max_input_chars=300))
        with server.client() as client:
            text = "Hello. ".ljust(300, char)
            for is_escaped in (True, False):
                content = json.dumps({"input": text}, ensure_ascii=is_escaped).encode()
                headers = {"content-type": JSON}
                assert client.post(SPEECH, content=content, headers=headers).status_code == 200
            server.engine.requests.clear()
            body = json.dumps({"input": text + char}).encode()
            assert check_rejection(server, client, body) == (
                400,
                "string_above_max_length",
                "input",
            )
            error = client.post(SPEECH, json={"input": text + char}).json()["error"]
            assert error["message"] == "The input has 301 characters; at most 300 are allowed."

    def test_no_limit(self) -> None:
        server = FakeServer(settings=Settings(tts_max_input_chars=0))
        with server.client() as client:
            answer = client.post(SPEECH, json={"input": "Hello. " + "." * 40_000})
        assert answer.status_code == 200


class TestStrangeButSpeakable:
    """Unusual text is spoken as far as possible, in bounded time, without side effects."""

    @pytest.mark.parametrize(
        "text",
        [
            "Hello <custom_token_5> there <|eot_id|> you.",
            "<|begin_of_text|>Hello there you.<custom_token_28681>",
            "Hello there\ud800 you.",
            "Hello\u0000 there\u0007 you.",
            "<laugh>Hello there you.",
            "a" + "\u0301" * 4096,
            "w" * 4096,
            "مرحبا بكم في هذا المكان. שלום לכם.",
            "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚",
            "<" * 4096 + "x" + ">" * 4096,
        ],
        ids=lambda text: ascii(text)[:30],
    )
    @pytest.mark.parametrize("checkpoint", [POCKET, ENGLISH], ids=["pocket", "english"])
    def test_prompts_contain_no_control_tokens_from_the_text(
        self, text: str, checkpoint: Checkpoint
    ) -> None:
        """`<custom_token_5>` is an added token of the published tokenizer: in a prompt it ended or
        spoiled the generation."""
        server = FakeServer(checkpoint)
        with server.client() as client:
            answer = client.post(
                SPEECH, content=json.dumps({"input": text}), headers={"content-type": JSON}
            )
            assert answer.status_code == 200, answer.text
        template = server.checkpoint.prompt
        num_after = len(template.after)
        for request in server.engine.requests:
            ids = request.prompt_token_ids
            assert ids[: len(template.before)] == template.before
            assert ids[-num_after:] == template.after
            text_ids = ids[len(template.before) : -num_after]
            layout = server.checkpoint.layout
            assert max(text_ids) < min(layout.audio_token_base, 128_000)
            assert not {*text_ids} & {*layout.stop_token_ids, *template.before, *template.after}

    def test_a_text_of_one_supported_tag(self) -> None:
        server = FakeServer(ENGLISH)
        with server.client() as client:
            assert client.post(SPEECH, json={"input": "<laugh>"}).status_code == 200
            assert len(server.engine.requests) == 1
            silent = client.post(SPEECH, json={"input": "<resoplido>"})
        assert silent.headers["x-orpheus-nothing-to-speak"] == "true"
        assert len(server.engine.requests) == 1

    def test_the_last_of_duplicate_keys_is_used(
        self, server: FakeServer, client: TestClient
    ) -> None:
        content = b'{"input": "...", "input": "Hello.", "voice": "nobody", "voice": "slt"}'
        answer = client.post(SPEECH, content=content, headers={"content-type": JSON})
        assert answer.status_code == 200
        assert server.engine.requests[0].prompt_token_ids[1] == 6

    def test_strange_values_of_unknown_fields(self, client: TestClient) -> None:
        content = b'{"input": "Hello.", "a": NaN, "b": [[[]]], "c": "\\ud800", "d": -Infinity}'
        answer = client.post(SPEECH, content=content, headers={"content-type": JSON})
        assert answer.headers["x-orpheus-ignored-fields"] == "a, b, c, d"


def test_error_messages_say_what_is_allowed(client: TestClient) -> None:
    def message(**fields: object) -> str:
        body = {"input": "Hello.", **fields}
        text: str = client.post(SPEECH, json=body).json()["error"]["message"]
        return text

    assert message(speed=9) == "'speed': Input should be less than or equal to 4."
    assert message(stream_format="x") == "'stream_format': Input should be 'audio' or 'sse'."
    assert message(response_format="ogg") == (
        "The response_format 'ogg' is not supported. Supported formats: wav, pcm, mp3, opus, aac, "
        "flac."
    )
    assert message(stream=False, stream_format="sse") == (
        "Events are always streamed: leave out either 'stream' or 'stream_format'."
    )
    assert message(voice="bob").startswith("The voice 'bob' is unknown. Known voices: rms, slt; ")
    assert message(model="gpt-4").startswith("The model 'gpt-4' is not served here. Known models: ")
    assert client.post(SPEECH, json={}).json()["error"]["message"] == "'input' is required."
    assert client.post(SPEECH, json=[]).json()["error"]["message"] == (
        "The body must be a JSON object."
    )
    broken = client.post(SPEECH, content=b"[" * 100_000, headers={"content-type": JSON})
    assert broken.json()["error"]["message"] == "There was an error parsing the body"
