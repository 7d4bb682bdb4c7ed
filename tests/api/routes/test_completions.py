"""`POST /v1/chat/completions`: text, audio, headers, failures and the SDK's types."""

import asyncio
import base64
import io
import json
import logging
import wave
from typing import Any

import numpy as np
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from orpheus_server.chat.system_prompt import voice_prompt
from orpheus_server.errors import (
    ChatModelFailed,
    ChatModelUnavailable,
    EngineDead,
    OrpheusError,
    RequestError,
)
from orpheus_server.fakes import ReplyScript, Script
from orpheus_server.interfaces import ChatMessage, ReplyOptions
from orpheus_server.settings import Settings
from tests.support.app import POCKET, FakeServer, endless_script
from tests.support.completions import (
    FIRST,
    NUM_FRAMES,
    PATH,
    SPOKEN,
    TEXT,
    TEXTS,
    USER,
    CompletionsClient,
    assert_nothing_is_held,
    audio_deltas,
    audio_of,
    chat_model,
    joined,
    outcomes,
    read_events,
)
from tests.support.speech import decode

# Names of formats that differ from those of speech.
FORMATS = {"pcm16": "pcm"}


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
    def test_the_whole_answer(self, completions: CompletionsClient, path: str) -> None:
        answer = completions.client.post(path, json={"messages": [USER]})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        key = answer.headers["x-request-id"].removeprefix("req_")
        body = answer.json()
        assert abs(body.pop("created") - completions.server.runtime.started_at) < 3600
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
        assert completions.server.engine.requests == []

    @pytest.mark.parametrize("include_usage", [None, False, True])
    def test_the_answer_as_events(
        self, completions: CompletionsClient, include_usage: bool | None
    ) -> None:
        answer = completions.post(stream=True, stream_options={"include_usage": include_usage})
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

    def test_messages_for_the_model(self, completions: CompletionsClient) -> None:
        parts = [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
        answer = completions.post(
            {"role": "user", "content": "Hi.", "name": "anna"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}, *parts]},
            {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": None},
            {"role": "developer", "content": "Be brief."},
            {"role": "system", "content": parts[:1]},
            {"role": "user", "content": parts},
        )
        assert answer.status_code == 200
        assert completions.chat.requests[0].messages == (
            ChatMessage("system", "Be brief.\n\nOne."),
            ChatMessage("user", "Hi."),
            ChatMessage("assistant", "One.\nTwo."),
            ChatMessage("user", "One.\nTwo."),
        )

    def test_text_alone_has_no_voice_prompt(self, completions: CompletionsClient) -> None:
        """The prompt asks for answers that can be read aloud."""
        completions.post()
        assert completions.chat.requests[0].messages == (ChatMessage("user", "Good morning!"),)

    def test_options_reach_the_model(self, completions: CompletionsClient) -> None:
        completions.post(
            temperature=0,
            top_p=1,
            presence_penalty=-2,
            frequency_penalty=1.5,
            max_completion_tokens=7,
            max_tokens=9,
            stop=["END", "", "##"],
            seed=-3,
        )
        completions.post(max_tokens=9, stop="END", temperature=2.0)
        completions.post(**dict.fromkeys(OPTIONAL))
        first, second, third = [request.options for request in completions.chat.requests]
        assert first == ReplyOptions(0.0, 1.0, 7, -3, -2.0, 1.5, ("END", "##"))
        assert second == ReplyOptions(2.0, None, 9, None, 0.0, 0.0, ("END",))
        assert third == ReplyOptions()

    def test_the_answer_ends_before_a_stop_string(self, completions: CompletionsClient) -> None:
        answer = completions.post(stop=[" sentence"]).json()["choices"][0]
        assert answer["message"]["content"] == "Hello there, this is one"
        assert answer["finish_reason"] == "stop"
        completions.chat.enqueue(ReplyScript(("Hello",), finish_reason="length"))
        assert completions.post().json()["choices"][0]["finish_reason"] == "length"

    def test_an_empty_answer(self, completions: CompletionsClient) -> None:
        completions.chat.enqueue(ReplyScript(()), ReplyScript(()))
        assert completions.post().json()["choices"][0]["message"]["content"] == ""
        events = read_events(completions.post(stream=True).content)
        assert [event["choices"][0]["delta"] for event in events] == [
            {"role": "assistant", "content": "", "refusal": None},
            {},
        ]


OPTIONAL = (
    *("model", "modalities", "audio", "stream", "stream_options", "max_completion_tokens"),
    *("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "stop"),
    *("seed", "n", "logprobs", "tools", "functions", "response_format"),
)


class TestAudio:
    def test_a_file_with_correct_sizes(self, completions: CompletionsClient) -> None:
        """With a stream's header, Python's `wave` expects two gigabytes."""
        answer = completions.spoken(audio={"voice": {"id": "slt"}, "format": "wav"})
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
        # The token of the second bundled voice.
        assert {each.prompt_token_ids[1] for each in completions.server.engine.requests} == {6}
        own = [name for name in answer.headers if name.startswith("x-orpheus-")]
        assert own == ["x-orpheus-queue-ms"]

    @pytest.mark.parametrize(
        ("name", "start"),
        [("mp3", b"\xff\xf3"), ("aac", b"\xff\xf1"), ("flac", b"fLaC"), ("opus", b"OggS")],
    )
    def test_formats(self, completions: CompletionsClient, name: str, start: bytes) -> None:
        audio = audio_of(completions.spoken(audio={"voice": "alloy", "format": name}))
        data = base64.b64decode(audio["data"])
        assert data.startswith(start)
        assert len(data) > 10_000

    @pytest.mark.parametrize("modalities", [["text", "audio"], ["audio", "text"]])
    def test_events_add_up_to_the_file(
        self, completions: CompletionsClient, modalities: list[str]
    ) -> None:
        whole = base64.b64decode(audio_of(completions.spoken(seed=4))["data"])
        answer = completions.spoken(
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
        assert list(end) == ["expires_at", "num_left_out"]
        assert end["expires_at"] - events[0]["created"] in (3600, 3601)
        assert finish["choices"][0]["delta"] == {}
        assert finish["choices"][0]["finish_reason"] == "stop"
        num_audio = sum(7 * num_frames + 1 for num_frames in NUM_FRAMES)
        assert (last["choices"], last["usage"]) == ([], usage(5, num_audio))

    def test_a_system_message_replaces_the_voice_prompt(
        self, completions: CompletionsClient
    ) -> None:
        voice = POCKET.default_voice
        own = voice_prompt(language=voice.language, tags=POCKET.tags_of(voice))
        completions.spoken()
        completions.spoken({"role": "developer", "content": "Sing."}, USER)
        first, second = completions.chat.requests
        assert first.messages == (ChatMessage("system", own), ChatMessage("user", USER["content"]))
        assert second.messages[0] == ChatMessage("system", "Sing.")

    def test_the_seed_is_used_by_both_models(self, completions: CompletionsClient) -> None:
        completions.spoken(seed=7, temperature=1.5)
        assert completions.chat.requests[0].options == ReplyOptions(temperature=1.5, seed=7)
        first = completions.server.engine.requests[0]
        assert first.seed is not None
        # The temperature applies to the language model only.
        assert first.sampling == completions.server.runtime.services.default_sampling

    @pytest.mark.parametrize("name", ["wav", "mp3", "aac", "flac", "opus", "pcm16"])
    def test_nothing_to_speak(self, completions: CompletionsClient, name: str) -> None:
        completions.chat.enqueue(ReplyScript(("\N{GRINNING FACE}",)))
        answer = completions.spoken(audio={"voice": "alloy", "format": name})
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        assert answer.headers["x-orpheus-left-out"] == "1"
        audio = audio_of(answer)
        assert audio["transcript"] == "\N{GRINNING FACE}"
        silence = decode(FORMATS.get(name, name), base64.b64decode(audio["data"]))
        assert 0.15 < silence.size / 24_000 < 0.3
        assert np.abs(silence.astype(int)).max() <= 1
        assert answer.json()["usage"] == usage(1)
        assert completions.server.engine.requests == []

    @pytest.mark.parametrize(
        ("texts", "num_dropped_tags"),
        [
            (("\N{GRINNING FACE}",), None),
            (("...", " \N{GRINNING FACE}"), None),
            (("<lau", "gh>"), "1"),
            (("---",), None),
        ],
    )
    def test_nothing_to_speak_in_events(
        self, completions: CompletionsClient, texts: tuple[str, ...], num_dropped_tags: str | None
    ) -> None:
        """The stream had neither samples nor the header."""
        completions.chat.enqueue(ReplyScript(texts))
        answer = completions.spoken(stream=True, stream_options={"include_usage": True})
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        assert answer.headers.get("x-orpheus-dropped-tags") == num_dropped_tags
        *events, finish, last = read_events(answer.content)
        keys = [list(delta) for delta in audio_deltas(events)]
        assert keys == [
            ["id", "transcript"],
            *[["transcript"]] * len(texts),
            ["data"],
            ["expires_at", "num_left_out"],
        ]
        assert joined(audio_deltas(events)) == ("".join(texts), bytes(9600))
        assert finish["choices"][0]["finish_reason"] == "stop"
        assert last["usage"] == usage(len(texts))
        assert completions.server.engine.requests == []

    def test_an_empty_answer_in_events(self, completions: CompletionsClient) -> None:
        completions.chat.enqueue(ReplyScript(()))
        answer = completions.spoken(stream=True)
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        assert joined(audio_deltas(read_events(answer.content))) == ("", bytes(9600))

    def test_speech_has_no_such_header(self, completions: CompletionsClient) -> None:
        for fields in (SPOKEN, {}):
            for stream in (False, True):
                completions.chat.enqueue(ReplyScript(("... ", *TEXTS)))
                answer = completions.post(stream=stream, **fields)
                assert "x-orpheus-nothing-to-speak" not in answer.headers

    def test_a_failure_before_any_word_has_a_status(self, completions: CompletionsClient) -> None:
        script = ReplyScript(("...",), error=ChatModelFailed("it broke"))
        completions.chat.enqueue(script)
        assert completions.error(502, stream=True, **SPOKEN)["code"] == "llm_failed"

    def test_joined_strings_are_the_audio(self, completions: CompletionsClient) -> None:
        """Both SDKs of OpenAI join them: each had a padding, so 0.2 s were decoded."""
        *events, _ = read_events(completions.spoken(stream=True).content)
        strings = [delta["data"] for delta in audio_deltas(events) if "data" in delta]
        assert len(strings) > 3
        data = base64.b64decode("".join(strings), validate=True)
        assert len(data) == sum(NUM_FRAMES) * 4096
        assert {len(base64.b64decode(each)) % 6 for each in strings[:-1]} == {0}

    def test_degraded_chunks_are_counted(self, completions: CompletionsClient) -> None:
        completions.server.engine.enqueue(*[endless_script(5)] * 14)
        answer = completions.spoken()
        assert (answer.status_code, answer.headers["x-orpheus-degraded-chunks"]) == (200, "2")


class TestHeaders:
    def test_ignored_fields_are_named(self, completions: CompletionsClient) -> None:
        answer = completions.post(
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
        answer = completions.spoken(stream=True, service_tier="auto")
        assert answer.headers["x-orpheus-ignored-fields"] == "service_tier"

    def test_fields_that_another_field_overrides_are_named(
        self, completions: CompletionsClient
    ) -> None:
        """They were ignored silently."""
        usage = {"include_usage": True}
        answer = completions.post(stream_options=usage, max_tokens=5, max_completion_tokens=6)
        assert answer.headers["x-orpheus-ignored-fields"] == "stream_options, max_tokens"
        answer = completions.post(stream=True, stream_options=usage, max_tokens=5)
        assert "x-orpheus-ignored-fields" not in answer.headers


class TestFailures:
    """A failure before the first audio or text has a status, streamed or not."""

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    @pytest.mark.parametrize(
        ("error", "status", "code", "headers"),
        [
            (ChatModelFailed("it broke"), 502, "llm_failed", {}),
            (ChatModelUnavailable("it is away"), 503, "llm_unavailable", {"retry-after": "10"}),
            (EngineDead("it died"), 503, "engine_unavailable", {"retry-after": "30"}),
            (
                RequestError("too long", param="messages", code="context_length_exceeded"),
                *(400, "context_length_exceeded", {"x-should-retry": "false"}),
            ),
        ],
        ids=["failed", "unavailable", "dead", "rejected"],
    )
    def test_the_language_model_fails(
        self,
        completions: CompletionsClient,
        error: OrpheusError,
        status: int,
        code: str,
        headers: dict[str, str],
        fields: dict[str, Any],
        stream: bool,
    ) -> None:
        completions.chat.enqueue(ReplyScript((), error=error))
        answer = completions.post(stream=stream, **fields)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["message"] == str(error)
        assert headers.items() <= dict(answer.headers).items()
        assert_nothing_is_held(completions.server)

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    def test_in_the_middle_of_an_answer_that_is_not_streamed(
        self,
        completions: CompletionsClient,
        fields: dict[str, Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        completions.chat.enqueue(ReplyScript(TEXTS, error=ChatModelFailed("it broke")))
        with caplog.at_level(logging.INFO, logger="orpheus_server"):
            error = completions.error(502, **fields)
        assert error["code"] == "llm_failed"
        assert outcomes(caplog) == ["failed"]
        assert " failed: it broke" in caplog.text
        assert "morning" not in caplog.text
        assert "sentence" not in caplog.text.replace("sentences=", "").replace("sentence_mean", "")

    def test_the_speech_engine_fails(self, completions: CompletionsClient) -> None:
        completions.server.engine.enqueue(
            Script((), error=EngineDead("the speech engine has died"))
        )
        error = completions.error(503, **SPOKEN)
        assert (error["code"], error["message"]) == (
            "engine_unavailable",
            "the speech engine has died",
        )
        # Text needs no speech engine.
        assert completions.post().status_code == 200

    def test_a_failure_after_text_is_an_event(self, completions: CompletionsClient) -> None:
        completions.chat.enqueue(ReplyScript(TEXTS[:2], error=ChatModelFailed("it broke")))
        answer = completions.post(stream=True)
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

    def test_complete_sentences_are_spoken_before_the_error(
        self, completions: CompletionsClient
    ) -> None:
        """They were lost: the failure of the text ended the audio of the text before it."""
        completions.chat.enqueue(ReplyScript(TEXTS[:4], error=ChatModelFailed("it broke")))
        answer = completions.spoken(stream=True)
        *events, last, rest = answer.content.decode().split("\n\n")
        assert '"error"' in last
        deltas = audio_deltas([json.loads(event.removeprefix("data: ")) for event in events])
        text, data = joined(deltas)
        assert text == "".join(TEXTS[:4])
        assert len(data) == NUM_FRAMES[0] * 4096
        said = {"role": "assistant", "audio": {"id": deltas[0]["id"]}}
        assert completions.post(said, USER).status_code == 200
        assert completions.chat.requests[-1].messages[0] == ChatMessage("assistant", FIRST)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    def test_the_time_limit_of_a_request(self, fields: dict[str, Any], stream: bool) -> None:
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

    def test_an_internal_error(self, completions: CompletionsClient) -> None:
        completions.server.engine.enqueue(Script((), error=ValueError("/secret/path")))
        assert completions.error(500, **SPOKEN)["code"] == "internal_error"
        assert_nothing_is_held(completions.server)


class TestSdkTypes:
    """Responses match the SDK's types without extra fields."""

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    def test_a_completion(self, completions: CompletionsClient, fields: dict[str, Any]) -> None:
        answer = completions.post(**fields)
        parsed = ChatCompletion.model_validate_json(answer.content, strict=True)
        assert parsed.model_extra == {}
        assert parsed.choices[0].message.model_extra == {}
        assert parsed.to_dict(exclude_unset=True) == answer.json()
        audio = parsed.choices[0].message.audio
        assert (audio.transcript if audio else parsed.choices[0].message.content) == TEXT

    @pytest.mark.parametrize("fields", [{}, SPOKEN], ids=["text", "audio"])
    def test_events(self, completions: CompletionsClient, fields: dict[str, Any]) -> None:
        answer = completions.post(stream=True, stream_options={"include_usage": True}, **fields)
        for event in read_events(answer.content):
            parsed = ChatCompletionChunk.model_validate_json(json.dumps(event), strict=True)
            assert parsed.model_extra == {}
            assert all(choice.model_extra == {} for choice in parsed.choices)
            assert all(choice.delta.model_extra == {} for choice in parsed.choices)
            assert parsed.to_dict(exclude_unset=True) == event
