"""Chat completions: validation before the model is called, and follow-ups to audio."""

from dataclasses import replace
from typing import Any

import pytest
from httpx2 import Response
from pydantic import SecretStr

from orpheus_server.chat.transcripts import TranscriptStore
from orpheus_server.interfaces import ChatMessage
from orpheus_server.settings import Settings
from tests.support.app import NO_WAIT, FakeServer, VirtualClock
from tests.support.completions import (
    PATH,
    SPOKEN,
    TEXT,
    USER,
    CompletionsClient,
    audio_deltas,
    audio_of,
    chat_model,
    read_events,
)

IMAGE = [{"type": "image_url", "image_url": {"url": "data:,"}}]
SAID = {"role": "assistant", "content": "Yes."}
INVALID: dict[str, tuple[dict[str, Any], int, str | None, str]] = {
    "no messages": ({"messages": []}, 400, "messages", "invalid_value"),
    "messages missing": ({"messages": None}, 400, "messages", "missing_required_parameter"),
    "blank content": (
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
    "an image": (
        {"messages": [{"role": "user", "content": IMAGE}]},
        *(400, "messages", "unsupported_value"),
    ),
    "a refusal by the user": (
        {"messages": [{"role": "user", "content": [{"type": "refusal", "refusal": "No"}]}]},
        *(400, "messages", "unsupported_value"),
    ),
    "a tool message": (
        {"messages": [USER, {"role": "tool", "content": "1"}]},
        *(400, "messages", "unsupported_value"),
    ),
    "a tool call": (
        {"messages": [USER, {"role": "assistant", "content": "Wait.", "tool_calls": [{}]}]},
        *(400, "messages", "unsupported_value"),
    ),
    "unknown audio": (
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}, USER]},
        *(400, "messages", "audio_not_found"),
    ),
    "unknown model": ({"model": "gpt-4"}, 404, "model", "model_not_found"),
    "a speech model": ({"model": "tts-1"}, 404, "model", "model_not_found"),
    "only audio": ({"modalities": ["audio"]}, 400, "modalities", "unsupported_value"),
    "no modality": ({"modalities": []}, 400, "modalities", "unsupported_value"),
    "unknown modality": ({"modalities": ["text", "x"]}, 400, "modalities", "unsupported_value"),
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
    "unknown voice": (
        {**SPOKEN, "audio": {"voice": "x", "format": "wav"}},
        *(400, "audio", "voice_not_found"),
    ),
    "unknown format": (
        {**SPOKEN, "audio": {"voice": "alloy", "format": "ogg"}},
        *(400, "audio", "unsupported_value"),
    ),
    "pcm instead of pcm16": (
        {**SPOKEN, "audio": {"voice": "alloy", "format": "pcm"}},
        *(400, "audio", "unsupported_value"),
    ),
    "a streamed wav": (
        {**SPOKEN, "audio": {"voice": "alloy", "format": "wav"}, "stream": True},
        *(400, "audio", "unsupported_value"),
    ),
    "two answers": ({"n": 2}, 400, "n", "unsupported_value"),
    "zero answers": ({"n": 0}, 400, "n", "unsupported_value"),
    "logprobs": ({"logprobs": True}, 400, "logprobs", "unsupported_value"),
    "tools": ({"tools": [{}]}, 400, "tools", "unsupported_value"),
    "functions": ({"functions": [{}]}, 400, "functions", "unsupported_value"),
    "response_format": (
        {"response_format": {"type": "json_object"}},
        *(400, "response_format", "unsupported_value"),
    ),
    "five stop strings": ({"stop": ["a"] * 5}, 400, "stop", "invalid_value"),
    "high temperature": ({"temperature": 2.1}, 400, "temperature", "invalid_value"),
    "temperature as a string": ({"temperature": "1"}, 400, "temperature", "invalid_value"),
    "top_p": ({"top_p": 1.1}, 400, "top_p", "invalid_value"),
    "presence_penalty": ({"presence_penalty": 2.5}, 400, "presence_penalty", "invalid_value"),
    "frequency_penalty": ({"frequency_penalty": -3}, 400, "frequency_penalty", "invalid_value"),
    "no tokens": ({"max_tokens": 0}, 400, "max_tokens", "invalid_value"),
    "half a token": (
        {"max_completion_tokens": 1.5},
        *(400, "max_completion_tokens", "invalid_value"),
    ),
    "stream": ({"stream": 1}, 400, "stream", "invalid_value"),
    "seed": ({"seed": 2**63}, 400, "seed", "invalid_value"),
}


class TestValidation:
    @pytest.mark.parametrize("name", INVALID)
    def test_invalid_requests(self, completions: CompletionsClient, name: str) -> None:
        fields, status, param, code = INVALID[name]
        answer = completions.client.post(PATH, json={"messages": [USER], **fields})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
        assert error["type"] == "invalid_request_error"
        assert answer.headers["x-should-retry"] == "false"
        # Rejected before the model is called and before a slot is taken.
        assert completions.chat.requests == []
        assert completions.server.runtime.services.reply_slots.num_taken == 0

    def test_error_messages_say_what_to_do(self, completions: CompletionsClient) -> None:
        def message(*messages: Any, status: int = 400, **fields: Any) -> str:
            return str(completions.error(status, *messages, **fields)["message"])

        assert message(model="gpt-4", status=404) == (
            "The model 'gpt-4' is not served here. Known models: scripted, gpt-audio, "
            "gpt-audio-mini, gpt-4o-audio-preview, gpt-4o-mini-audio-preview."
        )
        wav = {"voice": "alloy", "format": "wav"}
        assert message(stream=True, **{**SPOKEN, "audio": wav}) == (
            "With stream=true the format must be pcm16, not wav."
        )
        assert message({"role": "assistant", "audio": {"id": "audio_1"}}, USER) == (
            "messages[0]: the audio 'audio_1' is unknown or expired; send its transcript as the "
            "content instead."
        )
        assert message(USER, {"role": "robot", "content": ""}) == (
            "messages[1]: the role 'robot' is not supported. Supported roles: system, "
            "developer, user, assistant, tool, function."
        )
        assert message(stop=["a"] * 5) == (
            "'stop': List should have at most 4 items after validation, not 5."
        )
        assert message({"role": "user", "content": [{"text": "Hi."}]}) == (
            "'messages[0].content[0]': 'type' is missing."
        )

    @pytest.mark.parametrize("model", [None, "scripted", "gpt-audio", "gpt-4o-mini-audio-preview"])
    def test_names_of_the_model(self, completions: CompletionsClient, model: str | None) -> None:
        assert completions.post(model=model).json()["model"] == "scripted"

    def test_ten_thousand_turns_are_accepted(self, completions: CompletionsClient) -> None:
        """The model trims them to its context; a body limit of 1.4 MB would be too small."""
        turns = [
            {"role": "user", "content": "x" * 200},
            {"role": "assistant", "content": "y" * 200},
        ]
        assert completions.post(*turns * 5000, USER).status_code == 200
        assert len(completions.chat.requests[0].messages) == 10_001

    def test_more_than_twenty_thousand_messages_are_rejected(
        self, completions: CompletionsClient
    ) -> None:
        error = completions.error(400, *[USER] * 20_001)
        assert (error["param"], error["code"]) == ("messages", "invalid_value")
        assert completions.post(*[USER] * 20_000).status_code == 200

    def test_the_body_limit(self, completions: CompletionsClient) -> None:
        answer = completions.post({"role": "user", "content": "x" * (4 << 20)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")

    @pytest.mark.parametrize("model", [None, "gpt-4"])
    def test_without_a_language_model(self, model: str | None) -> None:
        with FakeServer().client() as client:
            answer = client.post(PATH, json={"messages": [USER], "model": model})
        assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
        assert answer.json()["error"]["code"] == "llm_not_configured"

    @pytest.mark.parametrize("fields", [{}, SPOKEN])
    def test_while_it_loads(self, fields: dict[str, Any]) -> None:
        with FakeServer(chat=chat_model(), is_loaded=False, settings=NO_WAIT).client() as client:
            answer = client.post(PATH, json={"messages": [USER], **fields})
            assert client.post(PATH, json={"messages": []}).status_code == 400
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert answer.json()["error"]["code"] == "engine_unavailable"


class TestFollowUps:
    @pytest.mark.parametrize("stream", [False, True])
    def test_an_audio_id_stands_for_its_transcript(
        self, completions: CompletionsClient, stream: bool
    ) -> None:
        answer = completions.spoken(stream=stream)
        events = audio_deltas(read_events(answer.content)) if stream else [audio_of(answer)]
        said = {"role": "assistant", "content": None, "audio": {"id": events[0]["id"]}}
        assert completions.spoken(USER, said, USER).status_code == 200
        assert completions.chat.requests[-1].messages[1:] == (
            ChatMessage("user", "Good morning!"),
            ChatMessage("assistant", TEXT),
            ChatMessage("user", "Good morning!"),
        )
        # Content in the message takes precedence.
        assert completions.post(USER, {**said, "content": "No."}, USER).status_code == 200
        assert completions.chat.requests[-1].messages[1] == ChatMessage("assistant", "No.")

    @pytest.mark.parametrize(
        "content",
        [
            "",
            " \n",
            [],
            [{"type": "text", "text": ""}],
            [{"type": "refusal", "refusal": None}, {"type": "text", "text": " "}],
        ],
    )
    def test_a_blank_text_beside_an_audio_id(
        self, completions: CompletionsClient, content: Any
    ) -> None:
        """LangChain sends an empty text: the answer was missing from the conversation."""
        audio = {"id": audio_of(completions.spoken())["id"]}
        said = {"role": "assistant", "content": content, "audio": audio}
        assert completions.post(USER, said, USER).status_code == 200
        assert completions.chat.requests[-1].messages[1] == ChatMessage("assistant", TEXT)
        said["audio"] = {"id": "audio_1"}
        assert completions.error(400, USER, said, USER)["code"] == "audio_not_found"

    @pytest.mark.parametrize("role", ["user", "system"])
    def test_only_an_answer_has_a_transcript(
        self, completions: CompletionsClient, role: str
    ) -> None:
        other = {"role": role, "content": "", "audio": {"id": "audio_1"}}
        assert completions.post(other, USER).status_code == 200
        assert completions.chat.requests[-1].messages == (ChatMessage("user", USER["content"]),)

    def test_an_audio_id_expires(self, completions: CompletionsClient) -> None:
        clock = VirtualClock()
        runtime = completions.server.runtime
        runtime.services = replace(runtime.services, transcripts=TranscriptStore(clock=clock))
        audio = audio_of(completions.spoken())
        said = {"role": "assistant", "audio": {"id": audio["id"]}}
        assert audio["expires_at"] == 3700
        clock.now_sec = 3700
        assert completions.error(400, said, USER)["code"] == "audio_not_found"

    def test_another_caller_cannot_use_the_id(self) -> None:
        """Any caller with an id could have the model repeat its transcript."""
        settings = Settings(api_keys=SecretStr("anna:key-of-anna,ben:key-of-ben"))
        with FakeServer(settings=settings, chat=chat_model()).client() as client:

            def post(name: str, *messages: Any) -> Response:
                headers = {"authorization": f"Bearer key-of-{name}"}
                body = {"messages": [*messages, USER], **SPOKEN}
                return client.post(PATH, headers=headers, json=body)

            said = {"role": "assistant", "audio": {"id": audio_of(post("anna"))["id"]}}
            assert post("ben", said).json()["error"]["code"] == "audio_not_found"
            assert post("anna", said).status_code == 200

    def test_an_id_cannot_be_repeated_without_limit(self, completions: CompletionsClient) -> None:
        """A short id stands for a long text: one request could have filled the memory."""
        runtime = completions.server.runtime
        runtime.services.transcripts.keep("127.0.0.1", "audio_1", "x" * 100_000)
        said = {"role": "assistant", "audio": {"id": "audio_1"}}
        assert completions.post(*[said] * 40, USER).status_code == 200
        assert completions.error(400, *[said] * 41, USER)["code"] == "invalid_value"
