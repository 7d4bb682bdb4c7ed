"""`POST /v1/chat/completions`: what is accepted, what reaches both models, how it is answered."""

import asyncio
import base64
import io
import json
import logging
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from httpx2 import Response
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus_server.chat.system_prompt import voice_prompt
from orpheus_server.chat.transcripts import Transcripts
from orpheus_server.errors import (
    ChatModelAway,
    ChatModelFailed,
    EngineDead,
    OrpheusError,
    RequestError,
)
from orpheus_server.fakes import ReplyScript, Script, ScriptedChatModel
from orpheus_server.interfaces import ChatMessage, ReplyOptions
from orpheus_server.settings import Settings
from tests.support.app import (
    POCKET,
    WAIT_LIMIT_SEC,
    FakeServer,
    VirtualClock,
    call_by_hand,
    endless_script,
    speech_ids,
    wait_for,
)

PATH = "/v1/chat/completions"
FIRST, SECOND = "Hello there, this is one sentence.", "And this is the second one."
TEXTS = ("Hello", " there, this is", " one sentence. ", "And this", " is the second one.")
TEXT = f"{FIRST} {SECOND}"
# A phoneme takes 80 ms, a frame 85.3.
NUM_FRAMES = (27, 22)
USER = {"role": "user", "content": "Good morning!"}
SPOKEN: dict[str, Any] = {
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "pcm16"},
}


def chat_model(*texts: str, **changes: Any) -> ScriptedChatModel:
    return ScriptedChatModel(ReplyScript(texts or TEXTS, **changes))


class Talker:
    """Posts to the route of a fake server whose language model is scripted."""

    def __init__(self, server: FakeServer, client: TestClient) -> None:
        self.server = server
        self.client = client
        assert isinstance(server.chat, ScriptedChatModel)
        self.chat = server.chat

    def post(self, *messages: Any, **fields: Any) -> Response:
        body = {"messages": list(messages) or [USER], **fields}
        return self.client.post(PATH, json=body)

    def spoken(self, *messages: Any, **fields: Any) -> Response:
        return self.post(*messages, **{**SPOKEN, **fields})

    def error(self, status: int, *messages: Any, **fields: Any) -> dict[str, Any]:
        answer = self.post(*messages, **fields)
        assert answer.status_code == status, answer.text
        error: dict[str, Any] = answer.json()["error"]
        return error


@pytest.fixture
def talker() -> Iterator[Talker]:
    server = FakeServer(chat=chat_model())
    with server.client() as client:
        yield Talker(server, client)


def read_events(body: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream that ended as it should."""
    *events, done, rest = body.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def audio_of(answer: Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    audio: dict[str, Any] = answer.json()["choices"][0]["message"]["audio"]
    return audio


def audio_deltas(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    return [delta["audio"] for delta in deltas if "audio" in delta]


def joined(deltas: list[dict[str, Any]]) -> tuple[str, bytes]:
    """Transcript and samples."""
    text = "".join(delta.get("transcript", "") for delta in deltas)
    return text, b"".join(base64.b64decode(delta.get("data", "")) for delta in deltas)


def usage(num_text: int, num_audio: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": 5,
        "completion_tokens": num_text + num_audio,
        "total_tokens": 5 + num_text + num_audio,
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0, "text_tokens": 5},
        "completion_tokens_details": {
            "text_tokens": num_text,
            "audio_tokens": num_audio,
            "reasoning_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


class TestText:
    @pytest.mark.parametrize("path", [PATH, "/chat/completions"])
    def test_the_whole_answer(self, talker: Talker, path: str) -> None:
        answer = talker.client.post(path, json={"messages": [USER]})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        key = answer.headers["x-request-id"].removeprefix("req_")
        body = answer.json()
        assert abs(body.pop("created") - talker.server.runtime.started_at) < 3600
        assert body == {
            "id": f"chatcmpl-{key}",
            "object": "chat.completion",
            "model": "scripted",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": TEXT,
                        "refusal": None,
                        "annotations": [],
                        "audio": None,
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": usage(5),
        }
        assert not [name for name in answer.headers if name.startswith("x-orpheus-")]
        assert talker.server.engine.requests == []

    @pytest.mark.parametrize("include_usage", [None, False, True])
    def test_the_same_in_events(self, talker: Talker, include_usage: bool | None) -> None:
        answer = talker.post(stream=True, stream_options={"include_usage": include_usage})
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["x-accel-buffering"] == "no"
        events = read_events(answer.content)
        created = events[0]["created"]
        head = {
            "id": f"chatcmpl-{answer.headers['x-request-id'].removeprefix('req_')}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": "scripted",
        }
        tail = {"usage": None} if include_usage else {}
        first = {"role": "assistant", "content": "", "refusal": None}
        deltas = [first, *({"content": text} for text in TEXTS)]
        choices = [
            {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
            for delta in deltas
        ]
        choices.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"})
        last = [{**head, "choices": [], "usage": usage(5)}] if include_usage else []
        assert events == [*({**head, "choices": [each], **tail} for each in choices), *last]

    def test_messages_as_the_model_gets_them(self, talker: Talker) -> None:
        parts = [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
        answer = talker.post(
            {"role": "user", "content": "Hi.", "name": "anna"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}, *parts]},
            {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": None},
            {"role": "developer", "content": "Be brief."},
            {"role": "system", "content": parts[:1]},
            {"role": "user", "content": parts},
        )
        assert answer.status_code == 200
        assert talker.chat.requests[0].messages == (
            ChatMessage("system", "Be brief.\n\nOne."),
            ChatMessage("user", "Hi."),
            ChatMessage("assistant", "One.\nTwo."),
            ChatMessage("user", "One.\nTwo."),
        )

    def test_text_alone_has_no_prompt_of_ours(self, talker: Talker) -> None:
        """It tells to write for ears."""
        talker.post()
        assert talker.chat.requests[0].messages == (ChatMessage("user", "Good morning!"),)

    def test_options_reach_the_model(self, talker: Talker) -> None:
        talker.post(
            temperature=0,
            top_p=1,
            presence_penalty=-2,
            frequency_penalty=1.5,
            max_completion_tokens=7,
            max_tokens=9,
            stop=["END", "", "##"],
            seed=-3,
        )
        talker.post(max_tokens=9, stop="END", temperature=2.0)
        talker.post(**dict.fromkeys(OPTIONAL))
        first, second, third = [request.options for request in talker.chat.requests]
        assert first == ReplyOptions(0.0, 1.0, 7, -3, -2.0, 1.5, ("END", "##"))
        assert second == ReplyOptions(2.0, None, 9, None, 0.0, 0.0, ("END",))
        assert third == ReplyOptions()

    def test_it_ends_before_a_stop_string(self, talker: Talker) -> None:
        answer = talker.post(stop=[" sentence"]).json()["choices"][0]
        assert answer["message"]["content"] == "Hello there, this is one"
        assert answer["finish_reason"] == "stop"
        talker.chat.enqueue(ReplyScript(("Hello",), finish_reason="length"))
        assert talker.post().json()["choices"][0]["finish_reason"] == "length"

    def test_an_empty_answer(self, talker: Talker) -> None:
        talker.chat.enqueue(ReplyScript(()), ReplyScript(()))
        assert talker.post().json()["choices"][0]["message"]["content"] == ""
        events = read_events(talker.post(stream=True).content)
        assert [event["choices"][0]["delta"] for event in events] == [
            {"role": "assistant", "content": "", "refusal": None},
            {},
        ]


OPTIONAL = (
    *("model", "modalities", "audio", "stream", "stream_options", "max_completion_tokens"),
    *("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "stop"),
    *("seed", "n", "logprobs", "tools", "functions", "response_format"),
)


class TestSpoken:
    def test_a_file_with_true_sizes(self, talker: Talker) -> None:
        """A stream's header tells Python's `wave` of two gigabytes that are not there."""
        answer = talker.spoken(audio={"voice": {"id": "slt"}, "format": "wav"})
        body = answer.json()
        (choice,) = body["choices"]
        audio = choice["message"].pop("audio")
        assert choice == {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
        num_audio = sum(7 * num_frames + 1 for num_frames in NUM_FRAMES)
        assert body["usage"] == usage(5, num_audio)
        key = answer.headers["x-request-id"].removeprefix("req_")
        assert (body["id"], audio["id"]) == (f"chatcmpl-{key}", f"audio_{key}")
        assert audio["transcript"] == TEXT
        assert audio["expires_at"] - body["created"] in (3600, 3601)
        data = base64.b64decode(audio["data"])
        with wave.open(io.BytesIO(data)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
            assert file.getnframes() == sum(NUM_FRAMES) * 2048
            assert len(data) == 44 + 2 * file.getnframes()
        # The second voice of the bundled checkpoint.
        assert {each.prompt_token_ids[1] for each in talker.server.engine.requests} == {6}
        own = [name for name in answer.headers if name.startswith("x-orpheus-")]
        assert own == ["x-orpheus-queue-ms"]

    @pytest.mark.parametrize(
        ("name", "start"),
        [("mp3", b"\xff\xf3"), ("aac", b"\xff\xf1"), ("flac", b"fLaC"), ("opus", b"OggS")],
    )
    def test_formats(self, talker: Talker, name: str, start: bytes) -> None:
        audio = audio_of(talker.spoken(audio={"voice": "alloy", "format": name}))
        data = base64.b64decode(audio["data"])
        assert data.startswith(start)
        assert len(data) > 10_000

    @pytest.mark.parametrize("modalities", [["text", "audio"], ["audio", "text"]])
    def test_events_are_the_file(self, talker: Talker, modalities: list[str]) -> None:
        whole = base64.b64decode(audio_of(talker.spoken(seed=4))["data"])
        answer = talker.spoken(
            seed=4, modalities=modalities, stream=True, stream_options={"include_usage": True}
        )
        *events, finish, last = read_events(answer.content)
        first, *deltas, end = audio_deltas(events)
        audio_id = f"audio_{answer.headers['x-request-id'].removeprefix('req_')}"
        assert events[0]["choices"][0] == {
            "index": 0,
            "delta": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "audio": {"id": audio_id, "transcript": ""},
            },
            "logprobs": None,
            "finish_reason": None,
        }
        assert first == {"id": audio_id, "transcript": ""}
        assert {tuple(delta) for delta in deltas} == {("transcript",), ("data",)}
        text, data = joined(deltas)
        assert (text, data) == (TEXT, whole)
        assert len(data) == sum(NUM_FRAMES) * 4096
        assert all(
            len(base64.b64decode(each["data"])) % 2 == 0 for each in deltas if "data" in each
        )
        assert list(end) == ["expires_at"]
        assert end["expires_at"] - events[0]["created"] in (3600, 3601)
        assert finish["choices"][0]["delta"] == {}
        assert finish["choices"][0]["finish_reason"] == "stop"
        num_audio = sum(7 * num_frames + 1 for num_frames in NUM_FRAMES)
        assert (last["choices"], last["usage"]) == ([], usage(5, num_audio))

    def test_the_prompt_of_the_voice_and_whose_own_replaces_it(self, talker: Talker) -> None:
        voice = POCKET.default_voice
        own = voice_prompt(language=voice.language, tags=POCKET.tags_of(voice))
        talker.spoken()
        talker.spoken({"role": "developer", "content": "Sing."}, USER)
        first, second = talker.chat.requests
        assert first.messages == (ChatMessage("system", own), ChatMessage("user", USER["content"]))
        assert second.messages[0] == ChatMessage("system", "Sing.")

    def test_the_seed_is_of_both_models(self, talker: Talker) -> None:
        talker.spoken(seed=7, temperature=1.5)
        assert talker.chat.requests[0].options == ReplyOptions(temperature=1.5, seed=7)
        first = talker.server.engine.requests[0]
        assert first.seed is not None
        # The temperature is the language model's; the voice keeps its own.
        assert first.sampling == talker.server.runtime.default_sampling

    @pytest.mark.parametrize("name", ["wav", "mp3", "aac", "flac", "opus", "pcm16"])
    def test_nothing_to_speak(self, talker: Talker, name: str) -> None:
        talker.chat.enqueue(ReplyScript(("\N{GRINNING FACE}",)))
        answer = talker.spoken(audio={"voice": "alloy", "format": name})
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        audio = audio_of(answer)
        assert audio["transcript"] == "\N{GRINNING FACE}"
        assert len(base64.b64decode(audio["data"])) < 400
        assert answer.json()["usage"] == usage(1)
        assert talker.server.engine.requests == []

    def test_nothing_to_speak_in_events(self, talker: Talker) -> None:
        talker.chat.enqueue(ReplyScript(("\N{GRINNING FACE}",)))
        events = read_events(talker.spoken(stream=True).content)
        keys = [list(delta) for delta in audio_deltas(events)]
        assert keys == [["id", "transcript"], ["transcript"], ["expires_at"]]
        assert events[-1]["choices"][0]["finish_reason"] == "stop"

    def test_second_best_is_told(self, talker: Talker) -> None:
        talker.server.engine.enqueue(*[endless_script(5)] * 14)
        answer = talker.spoken()
        assert (answer.status_code, answer.headers["x-orpheus-degraded-chunks"]) == (200, "2")


class TestHeaders:
    def test_ignored_fields_are_named(self, talker: Talker) -> None:
        answer = talker.post(
            user="anna",
            metadata={"a": "b"},
            store=False,
            reasoning_effort="low",
            audio={"voice": "nobody", "format": "wav"},
            tools=[],
            functions=[],
            logprobs=False,
            n=1,
            response_format={"type": "text"},
        )
        assert answer.status_code == 200
        assert answer.headers["x-orpheus-ignored-fields"] == (
            "audio, user, metadata, store, reasoning_effort"
        )
        answer = talker.spoken(stream=True, service_tier="auto")
        assert answer.headers["x-orpheus-ignored-fields"] == "service_tier"

    def test_those_that_another_field_leaves_without_effect(self, talker: Talker) -> None:
        """They were passed over in silence."""
        usage = {"include_usage": True}
        answer = talker.post(stream_options=usage, max_tokens=5, max_completion_tokens=6)
        assert answer.headers["x-orpheus-ignored-fields"] == "stream_options, max_tokens"
        answer = talker.post(stream=True, stream_options=usage, max_tokens=5)
        assert "x-orpheus-ignored-fields" not in answer.headers


PICTURE = [{"type": "image_url", "image_url": {"url": "data:,"}}]
SAID = {"role": "assistant", "content": "Yes."}
WRONG: dict[str, tuple[dict[str, Any], int, str | None, str]] = {
    "no messages": ({"messages": []}, 400, "messages", "invalid_value"),
    "messages missing": ({"messages": None}, 400, "messages", "invalid_value"),
    "not the user's": ({"messages": [USER, SAID]}, 400, "messages", "invalid_value"),
    "nothing said": (
        {"messages": [USER, {"role": "user", "content": " "}]},
        *(400, "messages", "invalid_value"),
    ),
    "no content": ({"messages": [{"role": "user"}]}, 400, "messages", "invalid_value"),
    "a number": (
        {"messages": [{"role": "user", "content": 1}]},
        *(400, "messages", "invalid_value"),
    ),
    "no text in a part": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        *(400, "messages", "invalid_value"),
    ),
    "a picture": (
        {"messages": [{"role": "user", "content": PICTURE}]},
        *(400, "messages", "unsupported_value"),
    ),
    "a refusal of the user's": (
        {"messages": [{"role": "user", "content": [{"type": "refusal", "refusal": "No"}]}]},
        *(400, "messages", "unsupported_value"),
    ),
    "a tool's answer": (
        {"messages": [{"role": "tool", "content": "1"}, USER]},
        *(400, "messages", "invalid_value"),
    ),
    "a tool's call": (
        {"messages": [{"role": "assistant", "tool_calls": [{}]}, USER]},
        *(400, "messages", "unsupported_value"),
    ),
    "unknown audio": (
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}, USER]},
        *(400, "messages", "audio_not_found"),
    ),
    "model": ({"model": "gpt-4"}, 404, "model", "model_not_found"),
    "the voice's model": ({"model": "tts-1"}, 404, "model", "model_not_found"),
    "only audio": ({"modalities": ["audio"]}, 400, "modalities", "unsupported_value"),
    "no modality": ({"modalities": []}, 400, "modalities", "unsupported_value"),
    "a strange one": ({"modalities": ["text", "x"]}, 400, "modalities", "unsupported_value"),
    "no audio": (
        {"modalities": ["text", "audio"]},
        *(400, "audio", "missing_required_parameter"),
    ),
    "no voice": (
        {**SPOKEN, "audio": {"format": "wav"}},
        *(400, "audio", "missing_required_parameter"),
    ),
    "no format": (
        {**SPOKEN, "audio": {"voice": "alloy"}},
        *(400, "audio", "missing_required_parameter"),
    ),
    "voice": (
        {**SPOKEN, "audio": {"voice": "x", "format": "wav"}},
        *(400, "audio", "voice_not_found"),
    ),
    "format": (
        {**SPOKEN, "audio": {"voice": "alloy", "format": "ogg"}},
        *(400, "audio", "unsupported_value"),
    ),
    "our name of pcm16": (
        {**SPOKEN, "audio": {"voice": "alloy", "format": "pcm"}},
        *(400, "audio", "unsupported_value"),
    ),
    "a streamed file": (
        {**SPOKEN, "audio": {"voice": "alloy", "format": "wav"}, "stream": True},
        *(400, "audio", "unsupported_value"),
    ),
    "two answers": ({"n": 2}, 400, "n", "unsupported_value"),
    "no answer": ({"n": 0}, 400, "n", "unsupported_value"),
    "logprobs": ({"logprobs": True}, 400, "logprobs", "unsupported_value"),
    "tools": ({"tools": [{}]}, 400, "tools", "unsupported_value"),
    "functions": ({"functions": [{}]}, 400, "functions", "unsupported_value"),
    "response_format": (
        {"response_format": {"type": "json_object"}},
        *(400, "response_format", "unsupported_value"),
    ),
    "five stops": ({"stop": ["a"] * 5}, 400, "stop", "invalid_value"),
    "hot": ({"temperature": 2.1}, 400, "temperature", "invalid_value"),
    "a string": ({"temperature": "1"}, 400, "temperature", "invalid_value"),
    "top_p": ({"top_p": 1.1}, 400, "top_p", "invalid_value"),
    "presence": ({"presence_penalty": 2.5}, 400, "presence_penalty", "invalid_value"),
    "frequency": ({"frequency_penalty": -3}, 400, "frequency_penalty", "invalid_value"),
    "no tokens": ({"max_tokens": 0}, 400, "max_tokens", "invalid_value"),
    "half a token": (
        {"max_completion_tokens": 1.5},
        *(400, "max_completion_tokens", "invalid_value"),
    ),
    "stream": ({"stream": 1}, 400, "stream", "invalid_value"),
    "seed": ({"seed": 2**63}, 400, "seed", "invalid_value"),
}


class TestRefusals:
    @pytest.mark.parametrize("name", WRONG)
    def test_what_is_wrong(self, talker: Talker, name: str) -> None:
        fields, status, param, code = WRONG[name]
        answer = talker.client.post(PATH, json={"messages": [USER], **fields})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
        assert error["type"] == "invalid_request_error"
        assert answer.headers["x-should-retry"] == "false"
        # Validated before anything was asked of anybody.
        assert talker.chat.requests == []
        assert talker.server.runtime.reply_slots.num_taken == 0

    def test_messages_tell_what_to_do(self, talker: Talker) -> None:
        def message(*messages: Any, status: int = 400, **fields: Any) -> str:
            return str(talker.error(status, *messages, **fields)["message"])

        assert message(model="gpt-4", status=404) == (
            "The model 'gpt-4' is not served here. Known are: scripted, gpt-audio, gpt-audio-mini, "
            "gpt-4o-audio-preview, gpt-4o-mini-audio-preview."
        )
        wav = {"voice": "alloy", "format": "wav"}
        assert message(stream=True, **{**SPOKEN, "audio": wav}) == (
            "With stream=true the only format is pcm16, not wav."
        )
        assert message({"role": "assistant", "audio": {"id": "audio_1"}}, USER) == (
            "messages[0]: the audio 'audio_1' is not known here, or has expired. Send its "
            "transcript as the content instead."
        )
        assert message(USER, {"role": "tool", "content": ""}) == (
            "messages[1]: the role 'tool' is not supported. Supported are: system, developer, "
            "user, assistant."
        )

    @pytest.mark.parametrize("model", [None, "scripted", "gpt-audio", "gpt-4o-mini-audio-preview"])
    def test_names_of_the_model(self, talker: Talker, model: str | None) -> None:
        assert talker.post(model=model).json()["model"] == "scripted"

    def test_ten_thousand_turns_are_taken(self, talker: Talker) -> None:
        """It is the model that leaves out what it has no room for; 1.4 MB are not enough."""
        turns = [
            {"role": "user", "content": "x" * 200},
            {"role": "assistant", "content": "y" * 200},
        ]
        assert talker.post(*turns * 5000, USER).status_code == 200
        assert len(talker.chat.requests[0].messages) == 10_001

    def test_more_than_twenty_thousand_are_not(self, talker: Talker) -> None:
        error = talker.error(400, *[USER] * 20_001)
        assert (error["param"], error["code"]) == ("messages", "invalid_value")
        assert talker.post(*[USER] * 20_000).status_code == 200

    def test_a_body_has_its_limit(self, talker: Talker) -> None:
        answer = talker.post({"role": "user", "content": "x" * (4 << 20)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")

    @pytest.mark.parametrize("model", [None, "gpt-4"])
    def test_without_a_language_model(self, model: str | None) -> None:
        with FakeServer().client() as client:
            answer = client.post(PATH, json={"messages": [USER], "model": model})
        assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
        assert answer.json()["error"]["code"] == "llm_not_configured"

    @pytest.mark.parametrize("fields", [{}, SPOKEN])
    def test_while_it_loads(self, fields: dict[str, Any]) -> None:
        with FakeServer(chat=chat_model(), is_loaded=False).client() as client:
            answer = client.post(PATH, json={"messages": [USER], **fields})
            assert client.post(PATH, json={"messages": []}).status_code == 400
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["error"]["code"] == "engine_unavailable"


class TestFollowUps:
    @pytest.mark.parametrize("stream", [False, True])
    def test_the_sound_stands_for_its_text(self, talker: Talker, stream: bool) -> None:
        answer = talker.spoken(stream=stream)
        events = audio_deltas(read_events(answer.content)) if stream else [audio_of(answer)]
        said = {"role": "assistant", "content": None, "audio": {"id": events[0]["id"]}}
        assert talker.spoken(USER, said, USER).status_code == 200
        assert talker.chat.requests[-1].messages[1:] == (
            ChatMessage("user", "Good morning!"),
            ChatMessage("assistant", TEXT),
            ChatMessage("user", "Good morning!"),
        )
        # What somebody wrote is what they mean.
        assert talker.post(USER, {**said, "content": "No."}, USER).status_code == 200
        assert talker.chat.requests[-1].messages[1] == ChatMessage("assistant", "No.")

    def test_it_expires(self, talker: Talker) -> None:
        clock = VirtualClock()
        talker.server.runtime.transcripts = Transcripts(clock=clock)
        audio = audio_of(talker.spoken())
        said = {"role": "assistant", "audio": {"id": audio["id"]}}
        assert audio["expires_at"] == 3700
        clock.now_sec = 3700
        assert talker.error(400, said, USER)["code"] == "audio_not_found"

    def test_others_do_not_know_it(self) -> None:
        """Whoever saw an id could have what was said told again."""
        settings = Settings(api_keys=SecretStr("anna:key-of-anna,ben:key-of-ben"))
        with FakeServer(settings=settings, chat=chat_model()).client() as client:

            def post(name: str, *messages: Any) -> Response:
                headers = {"authorization": f"Bearer key-of-{name}"}
                body = {"messages": [*messages, USER], **SPOKEN}
                return client.post(PATH, headers=headers, json=body)

            said = {"role": "assistant", "audio": {"id": audio_of(post("anna"))["id"]}}
            assert post("ben", said).json()["error"]["code"] == "audio_not_found"
            assert post("anna", said).status_code == 200

    def test_an_id_cannot_be_named_without_end(self, talker: Talker) -> None:
        """A short id stands for a long text: one request would have filled the memory."""
        runtime = talker.server.runtime
        runtime.transcripts.keep("127.0.0.1", "audio_1", "x" * 100_000)
        said = {"role": "assistant", "audio": {"id": "audio_1"}}
        assert talker.post(*[said] * 40, USER).status_code == 200
        assert talker.error(400, *[said] * 41, USER)["code"] == "invalid_value"


class TestFailures:
    """Before there is anything to hear or to read, a failure has a status, streamed or not."""

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    @pytest.mark.parametrize(
        ("error", "status", "code", "headers"),
        [
            (ChatModelFailed("it broke"), 502, "llm_failed", {}),
            (ChatModelAway("it is away"), 503, "llm_unavailable", {"retry-after": "10"}),
            (EngineDead("it died"), 503, "engine_unavailable", {"retry-after": "30"}),
            (
                RequestError("too long", param="messages", code="context_length_exceeded"),
                *(400, "context_length_exceeded", {"x-should-retry": "false"}),
            ),
        ],
        ids=["failed", "away", "dead", "refused"],
    )
    def test_of_the_language_model(
        self,
        talker: Talker,
        error: OrpheusError,
        status: int,
        code: str,
        headers: dict[str, str],
        fields: dict[str, Any],
        stream: bool,
    ) -> None:
        talker.chat.enqueue(ReplyScript((), error=error))
        answer = talker.post(stream=stream, **fields)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["message"] == str(error)
        assert headers.items() <= dict(answer.headers).items()
        assert_nothing_is_held(talker.server)

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    def test_in_the_middle_of_an_answer_in_one_piece(
        self, talker: Talker, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        talker.chat.enqueue(ReplyScript(TEXTS, error=ChatModelFailed("it broke")))
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            error = talker.error(502, **fields)
        assert error["code"] == "llm_failed"
        assert outcomes(caplog) == ["failed"]
        assert " failed: it broke" in caplog.text
        assert "morning" not in caplog.text
        assert "sentence" not in caplog.text.replace("sentences=", "").replace("sentence_mean", "")

    def test_of_the_voice(self, talker: Talker) -> None:
        talker.server.engine.enqueue(Script((), error=EngineDead("the speech engine has died")))
        error = talker.error(503, **SPOKEN)
        assert (error["code"], error["message"]) == (
            "engine_unavailable",
            "the speech engine has died",
        )
        # Text needs no voice.
        assert talker.post().status_code == 200

    def test_text_behind_which_it_failed_is_an_event(self, talker: Talker) -> None:
        talker.chat.enqueue(ReplyScript(TEXTS[:2], error=ChatModelFailed("it broke")))
        answer = talker.post(stream=True)
        assert answer.status_code == 200
        *events, last, rest = answer.content.decode().split("\n\n")
        assert (len(events), rest) == (3, "")
        assert json.loads(last.removeprefix("data: ")) == {
            "error": {
                "message": "it broke",
                "type": "server_error",
                "param": None,
                "code": "llm_failed",
            }
        }

    def test_sentences_that_were_whole_are_heard_before_it(self, talker: Talker) -> None:
        """They were lost: the text's failure ended the sound of what stood before it."""
        talker.chat.enqueue(ReplyScript(TEXTS[:4], error=ChatModelFailed("it broke")))
        answer = talker.spoken(stream=True)
        *events, last, rest = answer.content.decode().split("\n\n")
        assert '"error"' in last
        deltas = audio_deltas([json.loads(event.removeprefix("data: ")) for event in events])
        text, data = joined(deltas)
        assert text == "".join(TEXTS[:4])
        assert len(data) == NUM_FRAMES[0] * 4096
        said = {"role": "assistant", "audio": {"id": deltas[0]["id"]}}
        assert talker.post(said, USER).status_code == 200
        assert talker.chat.requests[-1].messages[0] == ChatMessage("assistant", FIRST)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    def test_a_request_has_its_time(self, fields: dict[str, Any], stream: bool) -> None:
        gate = asyncio.Event()
        chat = chat_model(gate=gate)
        settings = Settings(tts_request_timeout_sec=0.05)
        with FakeServer(settings=settings, chat=chat).client() as client:
            body = {"messages": [USER], "stream": stream, **fields}
            answer = client.post(PATH, json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (504, "timeout")
        assert error["message"] == "The request took longer than 0.05 s, which is the limit."
        assert (chat.num_active, chat.num_aborted) == (0, 1)

    def test_a_bug_of_ours(self, talker: Talker) -> None:
        talker.server.engine.enqueue(Script((), error=ValueError("/secret/path")))
        assert talker.error(500, **SPOKEN)["code"] == "internal_error"
        assert_nothing_is_held(talker.server)


def assert_nothing_is_held(server: FakeServer) -> None:
    runtime = server.runtime
    admission = runtime.admission
    assert runtime.reply_slots.num_taken == 0
    assert (admission.num_running, admission.num_waiting, admission.num_delivering) == (0, 0, 0)


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of the requests that have ended, as their one line in the log tells."""
    words = [word for record in caplog.records for word in record.getMessage().split()]
    return [word.partition("=")[2] for word in words if word.startswith("outcome=")]


@dataclass
class Call:
    """A request that is made by hand, whose answer can be watched while it is sent.

    `events` are those that came so far; `text` and `data` are their transcript and samples. The
    caller reads as long as `reads` is set.
    """

    app: ASGIApp
    fields: dict[str, Any]
    sent: list[Message] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    data: bytes = b""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.reads.set()

    async def run(self) -> None:
        body = json.dumps({"messages": [USER], **self.fields}).encode()
        self.messages.put_nowait({"type": "http.request", "body": body})
        await call_by_hand(self._watched, self.messages, path=PATH, raw_path=PATH.encode())

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            self.sent.append(message)
            # Once each: whoever waits for an event looks very often.
            for line in message.get("body", b"").decode().split("\n\n"):
                if line.startswith("data: {"):
                    self.events.append(json.loads(line.removeprefix("data: ")))
            self.text, self.data = joined(audio_deltas(self.events))
            self.news.set()
            await self.reads.wait()

        await self.app(scope, receive, note)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when what was sent fulfils it; looking all the time would hold up the pool."""
        while not condition():
            self.news.clear()
            await self.news.wait()

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status


@dataclass
class Stage:
    """A running app over the fakes."""

    server: FakeServer
    chat: ScriptedChatModel
    app: ASGIApp

    def begin(self, **fields: Any) -> tuple[Call, asyncio.Task[None]]:
        call = Call(self.app, fields)
        return call, asyncio.create_task(call.run())


@asynccontextmanager
async def open_stage(settings: Settings | None = None) -> AsyncIterator[Stage]:
    """Afterwards nothing is left in either model, and no task."""
    chat = chat_model()
    server = FakeServer(settings=settings or Settings(), chat=chat)
    app = server.build_app()
    async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
        before = asyncio.all_tasks()
        yield Stage(server, chat, app)
        assert (server.engine.num_active, chat.num_active) == (0, 0)
        assert_nothing_is_held(server)
        assert asyncio.all_tasks() == before


@pytest.mark.anyio
class TestWhileItIsMade:
    async def test_the_first_sentence_is_heard_while_the_second_is_written(self) -> None:
        async with open_stage() as stage:
            gate = asyncio.Event()
            stage.chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=4))
            call, task = stage.begin(stream=True, **SPOKEN)
            await call.until(lambda: len(call.data) == NUM_FRAMES[0] * 4096)
            assert stage.chat.num_active == 1
            assert call.text == "".join(TEXTS[:4])
            gate.set()
            await task
            assert (call.text, len(call.data)) == (TEXT, sum(NUM_FRAMES) * 4096)

    async def test_text_is_sent_before_its_sentence_ends(self) -> None:
        async with open_stage() as stage:
            gate = asyncio.Event()
            stage.chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=2))
            call, task = stage.begin(stream=True, **SPOKEN)
            await call.until(lambda: len(call.sent) > 2)
            assert (call.text, call.data) == ("".join(TEXTS[:2]), b"")
            gate.set()
            await task

    async def test_nothing_is_sent_before_the_model_writes(self) -> None:
        """A status that was sent cannot be taken back."""
        async with open_stage() as stage:
            gate = asyncio.Event()
            stage.chat.enqueue(
                ReplyScript((), gate=gate, error=ChatModelFailed("it broke")),
                ReplyScript((), gate=gate, error=ChatModelFailed("it broke")),
            )
            calls = [stage.begin(stream=True, **fields) for fields in ({}, SPOKEN)]
            await wait_for(lambda: stage.chat.num_active == 2)
            for _ in range(100):
                await asyncio.sleep(0)
            assert [call.sent for call, _ in calls] == [[], []]
            gate.set()
            for call, task in calls:
                await task
                assert call.status == 502

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("gate_at", [0, 4])
    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    async def test_the_caller_leaves(
        self,
        fields: dict[str, Any],
        gate_at: int,
        stream: bool,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async with open_stage() as stage:
            gate = asyncio.Event()
            stage.chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=gate_at))
            with caplog.at_level(logging.INFO, logger="orpheus_server"):
                call, task = stage.begin(stream=stream, **fields)
                await wait_for(lambda: stage.chat.num_active == 1)
                if stream and gate_at:
                    await call.until(lambda: len(call.sent) >= 4)
                call.leave()
                await task
            assert (stage.chat.num_active, stage.chat.num_aborted) == (0, 1)
            assert call.status == (200 if stream and gate_at else 499)
            assert outcomes(caplog) == ["caller_left"]

    async def test_leaving_while_an_answer_in_one_piece_is_sent(self) -> None:
        """Its talk was over and done, and nobody counted it."""
        async with open_stage() as stage:
            call, task = stage.begin(**SPOKEN)
            call.reads.clear()
            await call.until(lambda: call.sent != [])
            call.leave()
            await task
            told = stage.server.runtime.metrics.render().decode()
            assert f'orpheus_disconnects_total{{route="{PATH}"}} 1.0' in told

    async def test_leaving_stops_a_voice_that_speaks(self) -> None:
        async with open_stage() as stage:
            engine = stage.server.engine
            engine.enqueue(*[Script(speech_ids(12), hangs_at_end=True)] * 2)
            call, task = stage.begin(stream=True, **SPOKEN)
            await call.until(lambda: call.data != b"")
            assert engine.num_active > 0
            call.leave()
            await task
            assert engine.num_active == 0

    async def test_what_was_heard_of_it_is_kept(self) -> None:
        """A follow-up to an answer that was interrupted was refused."""
        async with open_stage() as stage:
            gate = asyncio.Event()
            stage.chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=4))
            call, task = stage.begin(stream=True, **SPOKEN)
            await call.until(lambda: len(call.data) == NUM_FRAMES[0] * 4096)
            call.leave()
            await task
            said = {"role": "assistant", "audio": {"id": audio_deltas(call.events)[0]["id"]}}
            call, task = stage.begin(messages=[said, USER])
            await task
            assert call.status == 200
            assert stage.chat.requests[-1].messages[0] == ChatMessage("assistant", FIRST)

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    async def test_a_caller_has_its_number_of_answers(self, fields: dict[str, Any]) -> None:
        async with open_stage(Settings(tts_max_requests_per_key=1)) as stage:
            gate = asyncio.Event()
            stage.chat.enqueue(ReplyScript(TEXTS, gate=gate))
            first, first_task = stage.begin(**fields)
            await wait_for(lambda: stage.chat.num_active == 1)
            second, second_task = stage.begin(**fields)
            await second_task
            assert second.status == 429
            # The model was not asked.
            assert len(stage.chat.requests) == 1
            gate.set()
            await first_task
            assert first.status == 200

    async def test_a_full_server_says_so_before_the_model_is_asked(self) -> None:
        settings = Settings(tts_max_streams=1, tts_queue_wait_sec=0)
        async with open_stage(settings) as stage:
            gate = asyncio.Event()
            stage.chat.enqueue(ReplyScript(TEXTS, gate=gate))
            _, first_task = stage.begin(**SPOKEN)
            await wait_for(lambda: stage.chat.num_active == 1)
            second, second_task = stage.begin(stream=True, **SPOKEN)
            await second_task
            assert second.status == 503
            assert second.sent[1]["body"].count(b"server_is_overloaded") == 1
            assert len(stage.chat.requests) == 1
            gate.set()
            await first_task


class TestShapes:
    """What the SDK's own types say, without what they tolerate."""

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    def test_one_piece(self, talker: Talker, fields: dict[str, Any]) -> None:
        answer = talker.post(**fields)
        parsed = ChatCompletion.model_validate_json(answer.content, strict=True)
        assert parsed.model_extra == {}
        assert parsed.choices[0].message.model_extra == {}
        assert parsed.to_dict(exclude_unset=True) == answer.json()
        audio = parsed.choices[0].message.audio
        assert (audio.transcript if audio else parsed.choices[0].message.content) == TEXT

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    def test_events(self, talker: Talker, fields: dict[str, Any]) -> None:
        answer = talker.post(stream=True, stream_options={"include_usage": True}, **fields)
        for event in read_events(answer.content):
            parsed = ChatCompletionChunk.model_validate_json(json.dumps(event), strict=True)
            assert parsed.model_extra == {}
            assert all(choice.model_extra == {} for choice in parsed.choices)
            assert all(choice.delta.model_extra == {} for choice in parsed.choices)
            assert parsed.to_dict(exclude_unset=True) == event
