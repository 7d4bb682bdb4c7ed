"""`POST /v1/chat` over the fakes: streamed audio, text, failures and disconnects."""

import asyncio
import logging
import wave
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from orpheus_server.chat.echo import EchoModel
from orpheus_server.chat.system_prompt import voice_prompt
from orpheus_server.errors import ChatModelFailed, ChatModelUnavailable, EngineDead, RequestError
from orpheus_server.fakes import ReplyScript, ScriptedChatModel
from orpheus_server.interfaces import ChatMessage
from orpheus_server.settings import Settings
from tests.support.app import NO_WAIT, POCKET, WAIT_LIMIT_SEC, FakeServer, settle, wait_for
from tests.support.harness import Call
from tests.support.speech import decode

CHAT = "/v1/chat"
ANSWER = ("Well, that is", " a good question. ", "I would say yes.", " Ask me again", " tomorrow.")
PROMPT = ChatMessage("system", voice_prompt(language="en", tags=()))


def served(*texts: str, **changes: Any) -> tuple[FakeServer, ScriptedChatModel]:
    settings = changes.pop("settings", None) or Settings()
    model = ScriptedChatModel(ReplyScript(texts or ANSWER, **changes))
    return FakeServer(chat=model, settings=settings), model


@pytest.fixture
def model() -> ScriptedChatModel:
    return ScriptedChatModel(ReplyScript(ANSWER))


@pytest.fixture
def client(model: ScriptedChatModel) -> Iterator[TestClient]:
    with FakeServer(chat=model).client() as client:
        yield client


def error_of(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


class TestAudio:
    @pytest.mark.parametrize("path", ["/chat", CHAT])
    def test_a_streamed_wav(self, client: TestClient, path: str) -> None:
        answer = client.post(path, json={"message": "Is it so?"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "audio/wav"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-orpheus-queue-ms"] == "0"
        assert "x-orpheus-nothing-to-speak" not in answer.headers
        with wave.open(BytesIO(answer.content)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert answer.content[40:44] == b"\xff\xff\xff\xff"

    @pytest.mark.parametrize(
        ("name", "media_type", "magic"),
        [
            ("pcm", "audio/pcm", b""),
            ("mp3", "audio/mpeg", b"\xff"),
            ("opus", "audio/opus", b"OggS"),
            ("aac", "audio/aac", b"\xff"),
            ("flac", "audio/flac", b"fLaC"),
        ],
    )
    def test_formats(self, client: TestClient, name: str, media_type: str, magic: bytes) -> None:
        answer = client.post(CHAT, json={"message": "Hi.", "response_format": name})
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert answer.content.startswith(magic)
        assert len(answer.content) > 5000

    def test_the_speed(self, client: TestClient) -> None:
        slow, quick = (
            client.post(CHAT, json={"message": "Hi.", "response_format": "pcm", "speed": speed})
            for speed in (0.5, 2.0)
        )
        assert len(slow.content) > 3 * len(quick.content)

    @pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "opus", "aac", "flac"])
    @pytest.mark.parametrize("texts", [("😀", "👍🏽"), ("...",), ("<laugh>",), ()])
    def test_nothing_to_speak(
        self, client: TestClient, model: ScriptedChatModel, name: str, texts: tuple[str, ...]
    ) -> None:
        """An answer of emoji alone is not an error; without samples, many formats were no file."""
        model.enqueue(ReplyScript(texts))
        answer = client.post(CHAT, json={"message": "Hi.", "response_format": name})
        assert answer.status_code == 200
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        assert answer.headers.get("x-orpheus-left-out", "0") == str(
            len(texts) if "😀" in texts else 0
        )
        assert answer.headers.get("x-orpheus-dropped-tags") == ("1" if "<laugh>" in texts else None)
        silence = decode(name, answer.content)
        assert 0.15 < silence.size / 24_000 < 0.3
        assert np.abs(silence.astype(int)).max() <= 1

    @pytest.mark.anyio
    async def test_the_first_sentence_is_sent_while_the_model_writes(self) -> None:
        """Audio was sent only after the whole answer had been written."""
        gate = asyncio.Event()
        server, model = served(gate=gate, gate_at=3)
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            call = Call(app, {"message": "Is it so?"}, path=CHAT)
            running = asyncio.create_task(call.run())
            await wait_for(lambda: len(call.sent) > 2)
            assert model.num_active == 1
            early = len(call.body)
            gate.set()
            await running
            assert call.is_whole
            assert len(call.body) > early > 2000

    @pytest.mark.anyio
    @pytest.mark.parametrize("is_text", [False, True])
    async def test_http_1_0_gets_one_piece(self, is_text: bool) -> None:
        """Its clients cannot distinguish the end of a body from a dropped connection."""
        server, _ = served()
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            fields = {"message": "Is it so?", "stream_text": is_text, "response_format": "wav"}
            call = Call(app, fields, path=CHAT, http_version="1.0")
            await call.run()
            headers = dict(call.sent[0]["headers"])
            assert headers[b"content-length"] == str(len(call.body)).encode()
            if is_text:
                assert call.body.decode() == "".join(ANSWER)
            else:
                assert call.body[40:44] == (len(call.body) - 44).to_bytes(4, "little")

    @pytest.mark.anyio
    async def test_http_1_0_gets_an_error_status(self) -> None:
        server, _ = served(*ANSWER[:3], finish_reason=None)
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            call = Call(app, {"message": "Is it so?"}, path=CHAT, http_version="1.0")
            await call.run()
            assert call.sent[0]["status"] == 502

    def test_fifty_in_a_row(self, client: TestClient, model: ScriptedChatModel) -> None:
        """With an event loop per request, the second request hung forever."""
        for index in range(50):
            answer = client.post(CHAT, json={"message": f"Question {index}."})
            assert answer.status_code == 200
        assert [each.messages[-1].content for each in model.requests] == [
            f"Question {index}." for index in range(50)
        ]


class TestText:
    def test_the_text_of_the_model(self, client: TestClient) -> None:
        answer = client.post(CHAT, json={"message": "Hi.", "stream_text": True})
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text == "".join(ANSWER)
        assert "x-orpheus-queue-ms" not in answer.headers

    def test_markup_stays(self, client: TestClient, model: ScriptedChatModel) -> None:
        model.enqueue(ReplyScript(("**Yes**", " 😀")))
        answer = client.post(CHAT, json={"message": "Hi.", "stream_text": True})
        assert answer.text == "**Yes** 😀"

    def test_an_empty_answer(self, client: TestClient, model: ScriptedChatModel) -> None:
        model.enqueue(ReplyScript(()))
        answer = client.post(CHAT, json={"message": "Hi.", "stream_text": True})
        assert (answer.status_code, answer.text) == (200, "")

    def test_both_are_in_the_language_of_the_voice(self) -> None:
        """Text was requested in the default voice's language, so it differed from the speech."""
        italian = replace(POCKET.default_voice, name="pietro", language="it")
        checkpoint = replace(POCKET, voices=(*POCKET.voices, italian))
        model = ScriptedChatModel(ReplyScript(ANSWER))
        with FakeServer(checkpoint=checkpoint, chat=model).client() as client:
            for is_text in (False, True):
                fields = {"message": "Hi.", "voice": "pietro", "stream_text": is_text}
                assert client.post(CHAT, json=fields).status_code == 200
        spoken, written = model.requests
        assert "Italian" in spoken.messages[0].content
        assert written.messages == spoken.messages

    def test_the_time_limit_of_a_request(self) -> None:
        """A model that kept writing slowly was read forever."""
        settings = Settings(tts_request_timeout_sec=0.05)
        server, _ = served(gate=asyncio.Event(), settings=settings)
        with server.client() as client:
            answer = client.post(CHAT, json={"message": "Hi.", "stream_text": True})
        assert error_of(answer) == (504, "timeout", None)
        # The limit between two tokens of the model gives the same code.
        assert "request" in answer.json()["error"]["message"]

    def test_the_request_limit_of_a_caller(self) -> None:
        server, _ = served(settings=Settings(tts_max_requests_per_key=1))
        with server.client() as client, server.runtime.services.reply_slots.taken("127.0.0.1"):
            answer = client.post(CHAT, json={"message": "Hi.", "stream_text": True})
            assert error_of(answer) == (429, "rate_limit_exceeded", None)


class TestModelRequest:
    def test_history_and_message(self, client: TestClient, model: ScriptedChatModel) -> None:
        history = [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Two."},
        ]
        body = {
            "message": "Three?",
            "history": history,
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.25,
            "seed": 9,
        }
        assert client.post(CHAT, json=body).status_code == 200
        request = model.requests[-1]
        assert request.messages == (
            PROMPT,
            ChatMessage("user", "One?"),
            ChatMessage("assistant", "Two."),
            ChatMessage("user", "Three?"),
        )
        options = request.options
        assert (options.max_tokens, options.temperature, options.top_p, options.seed) == (
            *(7, 0.5, 0.25),
            9,
        )

    def test_a_system_message_replaces_the_prompt(
        self, client: TestClient, model: ScriptedChatModel
    ) -> None:
        history = [{"role": "system", "content": "Be rude."}]
        client.post(CHAT, json={"message": "Hi.", "history": history})
        assert model.requests[-1].messages[0] == ChatMessage("system", "Be rude.")

    def test_the_setting_replaces_the_prompt(self) -> None:
        server, model = served(settings=Settings(llm_system_prompt="Be brief."))
        with server.client() as client:
            client.post(CHAT, json={"message": "Hi."})
            client.post(CHAT, json={"message": "Hi.", "stream_text": True})
        assert [each.messages[0].content for each in model.requests] == ["Be brief."] * 2

    def test_a_lone_surrogate_is_accepted(self, client: TestClient) -> None:
        answer = client.post(CHAT, content=b'{"message": "Hi \\ud800.", "stream_text": true}')
        assert answer.status_code == 415
        headers = {"content-type": "application/json"}
        body = b'{"message": "Hi \\ud800."}'
        assert client.post(CHAT, content=body, headers=headers).status_code == 200

    def test_ten_thousand_turns(self, client: TestClient, model: ScriptedChatModel) -> None:
        history = [
            {"role": ("user", "assistant")[index % 2], "content": f"Turn {index}."}
            for index in range(10_000)
        ]
        answer = client.post(CHAT, json={"message": "Hi.", "history": history})
        assert answer.status_code == 200
        assert len(model.requests[-1].messages) == 10_002


class TestBadInput:
    @pytest.mark.parametrize(
        ("fields", "status", "code", "param"),
        [
            ({"message": ""}, 400, "invalid_value", "message"),
            ({"message": " \n"}, 400, "invalid_value", "message"),
            ({"message": 5}, 400, "invalid_value", "message"),
            ({"message": None}, 400, "missing_required_parameter", "message"),
            ({"message": "x" * 32_769}, 400, "string_above_max_length", "message"),
            ({"voice": "nobody"}, 400, "voice_not_found", "voice"),
            ({"model": "gpt-9"}, 404, "model_not_found", "model"),
            ({"response_format": "ogg"}, 400, "unsupported_response_format", "response_format"),
            ({"speed": 5}, 400, "invalid_value", "speed"),
            ({"speed": "1"}, 400, "invalid_value", "speed"),
            ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
            ({"max_tokens": "5"}, 400, "invalid_value", "max_tokens"),
            ({"temperature": -1}, 400, "invalid_value", "temperature"),
            ({"top_p": 2}, 400, "invalid_value", "top_p"),
            ({"seed": 1.5}, 400, "invalid_value", "seed"),
            ({"stream_text": "yes"}, 400, "invalid_value", "stream_text"),
            ({"history": "before"}, 400, "invalid_value", "history"),
            ({"history": [{"role": "tool", "content": "x"}]}, 400, "invalid_value", "history"),
            ({"history": [{"role": "user"}]}, 400, "missing_required_parameter", "history"),
            ({"history": [{"role": "user", "content": 5}]}, 400, "invalid_value", "history"),
            ({"history": [None]}, 400, "invalid_value", "history"),
        ],
    )
    def test_rejected_before_the_model_is_called(
        self,
        client: TestClient,
        model: ScriptedChatModel,
        fields: dict[str, Any],
        status: int,
        code: str,
        param: str,
    ) -> None:
        answer = client.post(CHAT, json={"message": "Hi.", **fields})
        assert error_of(answer) == (status, code, param)
        assert model.requests == []

    def test_a_missing_message(self, client: TestClient) -> None:
        assert error_of(client.post(CHAT, json={})) == (
            400,
            "missing_required_parameter",
            "message",
        )

    def test_a_message_that_exceeds_the_context(
        self, client: TestClient, model: ScriptedChatModel
    ) -> None:
        error = RequestError("too long", param="messages", code="context_length_exceeded")
        model.enqueue(ReplyScript((), error=error))
        answer = client.post(CHAT, json={"message": "Hi."})
        assert error_of(answer) == (400, "context_length_exceeded", "message")

    def test_unknown_fields_are_named(self, client: TestClient) -> None:
        answer = client.post(CHAT, json={"message": "Hi.", "mood": "good", "n": 2})
        assert answer.headers["x-orpheus-ignored-fields"] == "mood, n"

    def test_audio_fields_are_named_as_ignored_for_text(self, client: TestClient) -> None:
        """They had no effect, and the response did not say so."""
        fields = {"message": "Hi.", "response_format": "mp3", "speed": 2.0, "n": 2}
        answer = client.post(CHAT, json={**fields, "stream_text": True})
        assert answer.headers["x-orpheus-ignored-fields"] == "response_format, speed, n"
        answer = client.post(CHAT, json=fields)
        assert answer.headers["x-orpheus-ignored-fields"] == "n"

    def test_a_history_message_without_content(self, client: TestClient) -> None:
        """The error said that the history was missing."""
        fields = {"message": "Hi.", "history": [{"role": "user"}]}
        answer = client.post(CHAT, json=fields)
        assert error_of(answer) == (400, "missing_required_parameter", "history")
        assert answer.json()["error"]["message"] == "'history[0]': 'content' is missing."


class TestFailures:
    def test_no_language_model(self) -> None:
        with FakeServer().client() as client:
            answer = client.post(CHAT, json={"message": "Hi."})
        assert error_of(answer) == (503, "llm_not_configured", None)
        assert "LLM_MODEL_NAME" in answer.json()["error"]["message"]
        assert answer.headers["x-should-retry"] == "false"
        assert "retry-after" not in answer.headers

    def test_a_model_that_is_loading(self) -> None:
        server, _ = served()
        server.is_loaded, server.settings = False, NO_WAIT
        with server.client() as client:
            answer = client.post(CHAT, json={"message": "Hi."})
            assert error_of(answer) == (503, "engine_unavailable", None)
            assert client.get("/ready").status_code == 503

    def test_a_dead_model(self) -> None:
        server, model = served()
        with server.client() as client:
            model.is_alive = False
            answer = client.post(CHAT, json={"message": "Hi."})
            assert error_of(answer) == (503, "engine_unavailable", None)
            assert client.get("/ready").status_code == 503
            # Speech needs no language model.
            assert client.post("/v1/audio/speech", json={"input": "Hi."}).status_code == 200

    @pytest.mark.parametrize("is_text", [False, True])
    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (ChatModelFailed("no"), 502, "llm_failed"),
            (ChatModelUnavailable("away"), 503, "llm_unavailable"),
            (EngineDead("gone"), 503, "engine_unavailable"),
        ],
    )
    def test_failures_before_the_first_byte(
        self, error: Exception, status: int, code: str, is_text: bool
    ) -> None:
        server, _ = served()
        assert isinstance(server.chat, ScriptedChatModel)
        server.chat.enqueue(ReplyScript((), error=error))
        with server.client() as client:
            answer = client.post(CHAT, json={"message": "Hi.", "stream_text": is_text})
        assert error_of(answer) == (status, code, None)

    @pytest.mark.parametrize("is_text", [False, True])
    def test_a_model_that_writes_nothing_in_time(self, is_text: bool) -> None:
        server, _ = served(gate=asyncio.Event(), settings=Settings(llm_timeout_sec=0.05))
        with server.client() as client:
            answer = client.post(CHAT, json={"message": "Hi.", "stream_text": is_text})
        assert error_of(answer) == (504, "timeout", None)

    @pytest.mark.anyio
    @pytest.mark.parametrize("is_text", [False, True])
    @pytest.mark.parametrize("changes", [{"error": ChatModelFailed("no")}, {"finish_reason": None}])
    async def test_after_the_first_byte_the_body_is_cut(
        self, changes: dict[str, Any], is_text: bool
    ) -> None:
        """A body with a regular end would look complete."""
        server, _ = served(*ANSWER[:3], **changes)
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            call = Call(app, {"message": "Is it so?", "stream_text": is_text}, path=CHAT)
            await call.run()
            assert call.sent[0]["status"] == 200
            assert not call.is_whole
            assert len(call.body) > 20

    def test_a_dead_speech_engine(self) -> None:
        server, model = served()
        with server.client() as client:
            server.engine.is_alive = False
            answer = client.post(CHAT, json={"message": "Hi."})
            assert error_of(answer) == (503, "engine_unavailable", None)
            assert model.requests == []
            # Text needs no speech engine.
            text = client.post(CHAT, json={"message": "Hi.", "stream_text": True})
            assert text.status_code == 200


class TestDisconnect:
    @pytest.mark.anyio
    @pytest.mark.parametrize("gate_at", [0, 1, 3])
    @pytest.mark.parametrize("is_text", [False, True])
    async def test_both_models_stop(self, gate_at: int, is_text: bool) -> None:
        server, model = served(gate=asyncio.Event(), gate_at=gate_at)
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            before = asyncio.all_tasks()
            call = Call(app, {"message": "Is it so?", "stream_text": is_text}, path=CHAT)
            running = asyncio.create_task(call.run())
            await wait_for(lambda: model.num_active == 1)
            for _ in range(20):
                await settle()
            call.leave()
            await running
            assert (model.num_active, server.engine.num_active) == (0, 0)
            assert server.runtime.admission.num_running == 0
            assert server.runtime.services.reply_slots.num_taken == 0
            await wait_for(lambda: asyncio.all_tasks() <= before)


class TestObservability:
    def test_one_log_line_without_user_text(
        self, client: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            client.post(CHAT, json={"message": "A secret?", "seed": 1})
        (line,) = (record.getMessage() for record in caplog.records if "llm=" in record.message)
        assert line.startswith("request=req_")
        assert "caller=127.0.0.1 outcome=done llm=scripted voice=rms format=wav" in line
        assert "prompt_tokens=5 llm_tokens=5" in line
        assert "sentences=3 chunks=3" in line
        assert "secret" not in line
        assert "question" not in line

    def test_metrics(self, client: TestClient) -> None:
        client.post(CHAT, json={"message": "Hi."})
        lines = client.get("/metrics").text.splitlines()
        assert 'orpheus_utterances_total{outcome="done",route="/v1/chat"} 1.0' in lines
        assert "orpheus_chat_tokens_total 5.0" in lines
        assert "orpheus_chat_sentences_total 3.0" in lines
        assert "orpheus_chat_first_audio_seconds_count 1.0" in lines
        assert "orpheus_chat_sentence_seconds_count 3.0" in lines
        assert "orpheus_chat_up 1.0" in lines
        assert "orpheus_chat_replies_active 0.0" in lines

    def test_no_chat_metrics_without_a_model(self) -> None:
        with FakeServer().client() as client:
            assert "orpheus_chat" not in client.get("/metrics").text

    def test_health(self, client: TestClient) -> None:
        body = client.get("/health").json()
        assert body["models"] == {"tts": True, "llm": True}
        assert body["features"]["conversational_ai"] is True
        assert client.get("/ready").status_code == 200


def test_echo_repeats_the_message() -> None:
    with FakeServer(chat=EchoModel()).client() as client:
        body = {"message": "Say  this\nback.", "stream_text": True}
        assert client.post(CHAT, json=body).text == "Say  this\nback."
