"""`chat.message` over the WebSocket: the reply is sent and spoken while the model writes it."""

import asyncio
import json
import logging
from typing import Any

import pytest

from orpheus_server.audio.encoders import FORMATS
from orpheus_server.errors import (
    ChatModelFailed,
    ChatModelUnavailable,
    EngineDead,
    GenerationFailed,
    RequestError,
)
from orpheus_server.fakes import ReplyScript, Script
from orpheus_server.interfaces import ReplyOptions
from orpheus_server.settings import Settings
from tests.support.app import FakeServer, held_script, short_script, wait_for
from tests.support.socket_harness import Received, events_of, open_socket, said_in, written

pytestmark = pytest.mark.anyio

Patch = pytest.MonkeyPatch

# One chunk of 30 frames, and one of 31.
SENTENCE = "Abcdefg hijklmno pqrstuv wxyz abcd."
SECOND = "Efg hi jkl mno pq rs tuv wx yz ab cd ef ghi."
SAMPLES = 30 * 2048


def audio_done(
    utterance: int, num_samples: int, num_input: int, num_output: int, num_left_out: int = 0
) -> Received:
    usage = {
        "input_tokens": num_input,
        "output_tokens": num_output,
        "total_tokens": num_input + num_output,
    }
    return {
        "type": "audio.done",
        "utterance": utterance,
        "usage": usage,
        "num_samples": num_samples,
        "degraded_chunks": [],
        "num_left_out": num_left_out,
        "is_cancelled": False,
    }


def transcript_done(utterance: int, text: str, num_tokens: int, reason: str = "stop") -> Received:
    return {
        "type": "transcript.done",
        "utterance": utterance,
        "text": text,
        "finish_reason": reason,
        "usage": {
            "input_tokens": 5 if num_tokens else 0,
            "output_tokens": num_tokens,
            "total_tokens": num_tokens + 5 if num_tokens else 0,
        },
    }


def delta(utterance: int, text: str) -> Received:
    return {"type": "transcript.delta", "utterance": utterance, "text": text}


def chunk(utterance: int, number: int, text: str, start_sample: int) -> Received:
    return {
        "type": "chunk.start",
        "utterance": utterance,
        "chunk": number,
        "text": text,
        "start_sample": start_sample,
    }


class TestSequence:
    async def test_from_a_message_to_audio(self, monkeypatch: Patch) -> None:
        script = ReplyScript((SENTENCE[:9], SENTENCE[9:] + " Efg", SECOND[3:]))
        async with open_socket(monkeypatch, script) as harness:
            harness.caller.ask("Hello?")
            received = await harness.caller.until("audio.done", "error")
            assert harness.requested() == [("user", "Hello?")]
        assert events_of(received, "transcript") == [
            delta(0, SENTENCE[:9]),
            delta(0, SENTENCE[9:] + " Efg"),
            delta(0, SECOND[3:]),
            transcript_done(0, f"{SENTENCE} {SECOND}", 3),
        ]
        assert events_of(received, "audio", "chunk", "error") == [
            {"type": "audio.start", "utterance": 0},
            chunk(0, 0, SENTENCE, 0),
            chunk(0, 1, SECOND, SAMPLES),
            audio_done(0, 2 * SAMPLES + 2048, 65, 429),
        ]
        # The text is sent ahead of the audio.
        assert received[0] == delta(0, SENTENCE[:9])
        order = [each["type"] for each in events_of(received, "transcript.delta", "audio.start")]
        assert order.index("audio.start") >= 2
        assert sum(len(each) for each in received if isinstance(each, bytes)) == 61 * 4096

    async def test_audio_while_the_model_still_writes(self, monkeypatch: Patch) -> None:
        gate = asyncio.Event()
        script = ReplyScript((f"{SENTENCE} And", " more."), gate=gate, gate_at=1)
        async with open_socket(monkeypatch, script) as harness:
            harness.caller.ask("Hello?")
            assert await harness.caller.until("chunk.start") == [
                delta(0, f"{SENTENCE} And"),
                {"type": "audio.start", "utterance": 0},
                chunk(0, 0, SENTENCE, 0),
            ]
            assert await harness.caller.audio(2 * SAMPLES) == 2 * SAMPLES
            assert (harness.chat.num_active, harness.engine.num_active) == (1, 0)
            gate.set()
            received = await harness.caller.until("audio.done", "error")
        assert [each for each in received if isinstance(each, dict)] == [
            delta(0, " more."),
            transcript_done(0, f"{SENTENCE} And more.", 2),
            chunk(0, 1, "And more.", SAMPLES),
            audio_done(0, SAMPLES + 8 * 2048, 41, 268),
        ]

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("texts", [("😀", "🎉"), (" \n",), ()])
    async def test_nothing_to_speak(
        self, monkeypatch: Patch, texts: tuple[str, ...], name: str
    ) -> None:
        """No error, unlike a client's own text, and no header of an audio format."""
        script = ReplyScript(texts)
        async with open_socket(monkeypatch, script, response_format=name) as harness:
            harness.caller.ask("Smile!")
            assert await harness.caller.until("audio.done", "error") == [
                *(delta(0, text) for text in texts),
                transcript_done(0, "".join(texts), len(texts)),
                audio_done(0, 0, 0, 0, num_left_out=len("".join(texts).strip())),
            ]
            harness.caller.ask("Well?")
            received = await harness.caller.until("audio.done", "error")
            assert written(received) == "Yes."

    async def test_the_model_gets_the_conversation_so_far(self, monkeypatch: Patch) -> None:
        """Including the parts of its replies that are not spoken."""
        script = ReplyScript(("Well, **no**", " 😀"), finish_reason="length")
        async with open_socket(monkeypatch, script) as harness:
            harness.caller.ask("Hello?")
            received = await harness.caller.until("audio.done", "error")
            assert transcript_done(0, "Well, **no** 😀", 2, "length") in received
            harness.clock.advance(60)
            harness.caller.ask("Sure?")
            await harness.caller.until("audio.done", "error")
            # A reported position counts even if it is further than real time allows.
            harness.caller.ask("And now?", played_ms=1e300)
            await harness.caller.until("audio.done", "error")
            assert harness.requested() == [
                ("user", "Hello?"),
                ("assistant", "Well, **no** 😀"),
                ("user", "Sure?"),
                ("assistant", "Yes."),
                ("user", "And now?"),
            ]

    async def test_history_and_system_prompt(self, monkeypatch: Patch) -> None:
        history = [
            {"role": "user", "content": "I am Ben."},
            {"role": "assistant", "content": "Hello Ben.", "name": "more"},
        ]
        prompt = "You are a cook."
        async with open_socket(monkeypatch, history=history, system_prompt=prompt) as harness:
            harness.caller.ask("Who am I?")
            await harness.caller.until("audio.done", "error")
            assert said_in(harness.chat.requests[0]) == [
                ("system", "You are a cook."),
                ("user", "I am Ben."),
                ("assistant", "Hello Ben."),
                ("user", "Who am I?"),
            ]
            # With another voice the conversation continues, now with the built-in prompt.
            harness.clock.advance(60)
            harness.caller.say("session.start", voice="slt")
            harness.caller.ask("Sure?")
            await harness.caller.until("audio.done", "error")
            system, *turns = said_in(harness.chat.requests[1])
            assert system[1].startswith("You talk with somebody")
            assert [text for _, text in turns][2:] == ["Who am I?", "Yes.", "Sure?"]
            harness.caller.say("session.start", history=[])
            harness.caller.ask("Who am I?")
            await harness.caller.until("audio.done", "error")
            assert harness.requested() == [("user", "Who am I?")]

    async def test_options_reach_both_models(self, monkeypatch: Patch) -> None:
        requested: dict[str, Any] = {"max_tokens": 7, "temperature": 0.5, "top_p": 0.25, "seed": 3}
        async with open_socket(monkeypatch, voice="slt", temperature=1.25, speed=2.0) as harness:
            harness.caller.ask("Hello?", **requested)
            *_, done = await harness.caller.until("audio.done", "error")
            assert harness.chat.requests[0].options == ReplyOptions(**requested)
            request = harness.engine.requests[0]
            assert (request.prompt_token_ids[1], request.sampling.temperature) == (6, 1.25)
            # "Yes." is four phonemes and five frames, which are halved by the speed.
            assert isinstance(done, dict)
            assert done["num_samples"] == 5 * 1024

    async def test_between_texts_of_the_client(self, monkeypatch: Patch) -> None:
        async with open_socket(monkeypatch) as harness:
            caller = harness.caller
            for index in (0, 2):
                caller.say("text.delta", text="Hello you.")
                caller.say("text.done")
                received = await caller.until("audio.done", "error")
                assert received[1] == chunk(index, 0, "Hello you.", 0)
                caller.ask("Hello?")
                received = await caller.until("audio.done", "error")
                assert events_of(received, "chunk") == [chunk(index + 1, 0, "Yes.", 0)]

    async def test_text_after_a_message_waits_for_the_end_of_the_reply(
        self, monkeypatch: Patch
    ) -> None:
        gate = asyncio.Event()
        async with open_socket(monkeypatch, ReplyScript(("Yes.",), gate=gate)) as harness:
            caller = harness.caller
            caller.ask("Hello?")
            caller.say("text.flush")
            (rejected,) = await caller.until("error")
            assert isinstance(rejected, dict)
            assert rejected["error"]["code"] == "event_out_of_order"
            caller.say("text.delta", text="Hello you.")
            caller.say("text.done")
            gate.set()
            first, second = [await caller.until("audio.done", "error") for _ in range(2)]
            assert events_of(first, "audio.start")[0]["utterance"] == 0
            assert events_of(second, "chunk.start") == [chunk(1, 0, "Hello you.", 0)]

    async def test_the_log_and_the_metrics(
        self, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="orpheus_server")
        async with open_socket(monkeypatch) as harness:
            harness.caller.ask("A secret question?")
            await harness.caller.until("audio.done", "error")
            metrics = harness.runtime.metrics.render().decode()
        counted = 'orpheus_utterances_total{outcome="done",route="/v1/audio/stream"} 1.0'
        assert counted in metrics
        (line,) = [each for each in caplog.messages if " outcome=" in each]
        assert "-0 caller=" in line
        assert " outcome=done llm=scripted voice=rms " in line
        assert "secret" not in caplog.text


class TestInvalidEvents:
    """Each causes one error, cancels nothing, and the session continues."""

    @pytest.mark.parametrize(
        ("fields", "param", "code"),
        [
            ({"text": ""}, "text", "invalid_value"),
            ({"text": " \n"}, "text", "invalid_value"),
            ({}, "text", "invalid_event"),
            ({"text": 5}, "text", "invalid_event"),
            ({"text": "a" * 101}, "text", "string_above_max_length"),
            ({"text": "Hi.", "max_tokens": 0}, "max_tokens", "invalid_event"),
            ({"text": "Hi.", "top_p": 2}, "top_p", "invalid_event"),
            ({"text": "Hi.", "temperature": "1"}, "temperature", "invalid_event"),
            ({"text": "Hi.", "seed": 2**63}, "seed", "invalid_event"),
            ({"text": "Hi.", "played_ms": -1}, "played_ms", "invalid_event"),
            ({"text": "Hi.", "played_ms": float("nan")}, "played_ms", "invalid_event"),
        ],
    )
    async def test_messages(
        self, monkeypatch: Patch, fields: dict[str, Any], param: str, code: str
    ) -> None:
        gate = asyncio.Event()
        settings = Settings(tts_max_input_chars=100)
        script = ReplyScript(("No.",), gate=gate)
        async with open_socket(monkeypatch, script, settings=settings) as harness:
            harness.caller.ask("Hello?")
            await wait_for(lambda: harness.chat.num_active == 1)
            harness.caller.say("chat.message", **fields)
            (error,) = await harness.caller.until("error")
            assert isinstance(error, dict)
            assert error["utterance"] is None
            assert (error["error"]["param"], error["error"]["code"]) == (param, code)
            gate.set()
            received = await harness.caller.until("audio.done", "error")
            assert written(received) == "No."

    @pytest.mark.parametrize(
        ("options", "param", "code"),
        [
            ({"history": [{"role": "tool", "content": "a"}]}, "history", "invalid_event"),
            ({"history": [{"role": "user"}]}, "history", "invalid_event"),
            ({"history": [{"role": "user", "content": "a"}] * 1001}, "history", "invalid_event"),
            ({"history": "Hi."}, "history", "invalid_event"),
            (
                {"history": [{"role": "user", "content": "a" * 51}] * 2},
                "history",
                "string_above_max_length",
            ),
            ({"system_prompt": "a" * 101}, "system_prompt", "string_above_max_length"),
            ({"system_prompt": 5}, "system_prompt", "invalid_event"),
        ],
    )
    async def test_starts(
        self, monkeypatch: Patch, options: dict[str, Any], param: str, code: str
    ) -> None:
        settings = Settings(tts_max_input_chars=100)
        async with open_socket(monkeypatch, settings=settings) as harness:
            harness.caller.say("session.start", **options)
            (error,) = await harness.caller.until("error", "session.started")
            assert isinstance(error, dict)
            assert (error["error"]["param"], error["error"]["code"]) == (param, code)
            harness.caller.ask("Hello?")
            assert written(await harness.caller.until("audio.done", "error")) == "Yes."

    def test_before_the_start_and_without_a_model(self) -> None:
        with (
            FakeServer().client() as client,
            client.websocket_connect("/v1/audio/stream") as socket,
        ):
            answers = []
            for event in (
                {"type": "chat.message", "text": "Hello?"},
                {"type": "session.start", "history": [], "system_prompt": "Hm.", "typo": 1},
                {"type": "chat.message", "text": "Hello?"},
            ):
                socket.send_json(event)
                answers.append(json.loads(socket.receive()["text"]))
        assert answers[0]["error"]["code"] == "event_out_of_order"
        assert answers[1]["ignored_fields"] == ["typo", "history", "system_prompt"]
        assert answers[2]["error"]["code"] == "llm_not_configured"

    async def test_a_model_that_has_died(self, monkeypatch: Patch) -> None:
        async with open_socket(monkeypatch) as harness:
            harness.chat.is_alive = False
            harness.caller.ask("Hello?")
            (error,) = await harness.caller.until("error")
            assert isinstance(error, dict)
            assert (error["utterance"], error["error"]["code"]) == (None, "engine_unavailable")


class TestFailures:
    async def test_before_anything_was_written(self, monkeypatch: Patch) -> None:
        """Regression: a message too long for the model was sent again with every later one."""
        too_long = RequestError("too long", param="messages", code="context_length_exceeded")
        script = ReplyScript((), error=too_long)
        async with open_socket(monkeypatch, script) as harness:
            harness.caller.ask("a" * 999)
            (error,) = await harness.caller.until("audio.done", "error")
            assert isinstance(error, dict)
            assert (error["utterance"], error["error"]["param"]) == (0, "messages")
            harness.caller.ask("Hello?")
            assert written(await harness.caller.until("audio.done", "error")) == "Yes."
            assert harness.requested() == [("user", "Hello?")]

    async def test_during_the_reply(self, monkeypatch: Patch) -> None:
        """Its complete sentences are spoken, and the conversation keeps only those."""
        script = ReplyScript((f"{SENTENCE} And then", " he"), error=ChatModelFailed("lost"))
        async with open_socket(monkeypatch, script) as harness:
            harness.caller.ask("Hello?")
            received = await harness.caller.until("error", "audio.done")
            assert written(received) == f"{SENTENCE} And then he"
            assert sum(len(each) for each in received if isinstance(each, bytes)) == 2 * SAMPLES
            assert received[-2:] == [
                {"type": "transcript.truncated", "utterance": 0, "text": SENTENCE},
                {
                    "type": "error",
                    "utterance": 0,
                    "error": {
                        "message": "lost",
                        "type": "server_error",
                        "param": None,
                        "code": "llm_failed",
                    },
                },
            ]
            assert events_of(received, "transcript.done", "audio.done") == []
            harness.clock.advance(60)
            harness.caller.ask("And?")
            await harness.caller.until("audio.done")
            assert harness.requested()[:2] == [("user", "Hello?"), ("assistant", SENTENCE)]

    async def test_it_is_logged_once(
        self, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Regression: each failure was logged twice."""
        script = ReplyScript(("Well.",), error=ChatModelFailed("lost"))
        async with open_socket(monkeypatch, script) as harness:
            harness.caller.ask("Hello?")
            await harness.caller.until("error", "audio.done")
        assert len([each for each in caplog.messages if " failed: lost" in each]) == 1

    async def test_during_the_reply_and_then_interrupted(self, monkeypatch: Patch) -> None:
        """The player still plays what it has received of a failed reply."""
        script = ReplyScript((f"{SENTENCE} And then",), error=ChatModelFailed("lost"))
        async with open_socket(monkeypatch, script) as harness:
            harness.caller.ask("Hello?")
            await harness.caller.until("error")
            harness.caller.ask("Stop.", played_ms=1280)
            (truncated,) = await harness.caller.until("transcript.truncated")
            assert isinstance(truncated, dict)
            assert truncated["text"] == "Abcdefg hijklmno"
            await harness.caller.until("audio.done")
            assert harness.requested()[1] == ("assistant", "Abcdefg hijklmno")

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (ChatModelUnavailable("no model"), "llm_unavailable"),
            (EngineDead("the model has died"), "engine_unavailable"),
        ],
    )
    async def test_the_question_may_be_sent_again(
        self, monkeypatch: Patch, error: Exception, code: str
    ) -> None:
        async with open_socket(monkeypatch, ReplyScript((), error=error)) as harness:
            harness.caller.ask("Hello?")
            (failed,) = await harness.caller.until("error")
            assert isinstance(failed, dict)
            assert failed["error"]["code"] == code
            harness.caller.ask("Hello?")
            await harness.caller.until("audio.done")
            assert harness.requested() == [("user", "Hello?")]

    async def test_the_voice_fails(self, monkeypatch: Patch) -> None:
        settings = Settings(tts_on_failure="error", tts_max_attempts=1)
        gate = asyncio.Event()
        script = ReplyScript((f"{SENTENCE} And", " more."), gate=gate, gate_at=1)
        async with open_socket(monkeypatch, script, settings=settings) as harness:
            harness.engine.enqueue(Script((), error=GenerationFailed("no voice")))
            harness.caller.ask("Hello?")
            received = await harness.caller.until("error")
            assert received[1:] == [
                {"type": "transcript.truncated", "utterance": 0, "text": ""},
                received[-1],
            ]
            assert (harness.num_active, harness.chat.num_aborted) == (0, 1)
            harness.caller.ask("And?")
            await harness.caller.until("audio.done")
            assert harness.requested() == [("user", "Hello?\n\nAnd?")]

    async def test_a_bug_closes_the_session(
        self, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with open_socket(monkeypatch, ReplyScript((), error=ValueError("a bug"))) as harness:
            harness.caller.ask("Hello?")
            await wait_for(lambda: harness.caller.code is not None)
            assert harness.caller.code == 1011
            assert harness.num_active == 0
        assert "failed unexpectedly" in caplog.text

    async def test_too_many_requests_of_one_caller(self, monkeypatch: Patch) -> None:
        """The message was not sent to the model, and is not part of the conversation."""
        settings = Settings(tts_max_requests_per_key=1)
        async with open_socket(monkeypatch, settings=settings) as harness:
            with harness.runtime.admission.reserve("127.0.0.1", "interactive"):
                harness.caller.ask("Hello?")
                (failed,) = await harness.caller.until("error")
            assert isinstance(failed, dict)
            assert failed["error"]["code"] == "rate_limit_exceeded"
            harness.caller.ask("Hi?")
            await harness.caller.until("audio.done")
            assert harness.requested() == [("user", "Hi?")]

    async def test_the_reply_takes_too_long(self, monkeypatch: Patch) -> None:
        """Time spent waiting for the model counts; for the text of a client it does not."""
        settings = Settings(tts_request_timeout_sec=0.05)
        script = ReplyScript(("Yes.",), gate=asyncio.Event())
        async with open_socket(monkeypatch, script, settings=settings) as harness:
            harness.caller.ask("Hello?")
            (failed,) = await harness.caller.until("error")
            assert isinstance(failed, dict)
            assert (failed["utterance"], failed["error"]["code"]) == (0, "timeout")
            assert harness.num_active == 0

    async def test_the_client_disconnects(
        self, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="orpheus_server")
        script = ReplyScript((f"{SENTENCE} And", " more."), gate=asyncio.Event(), gate_at=1)
        async with open_socket(monkeypatch, script) as harness:
            harness.engine.enqueue(held_script(short_script(30), asyncio.Event()))
            harness.caller.ask("Hello?")
            await wait_for(lambda: harness.num_active == 2)
            harness.caller.leave()
            await wait_for(lambda: harness.num_active == 0)
            metrics = harness.runtime.metrics
        assert "outcome=caller_left" in caplog.text
        name = 'orpheus_disconnects_total{route="/v1/audio/stream"} 1.0'
        assert name in metrics.render().decode()
