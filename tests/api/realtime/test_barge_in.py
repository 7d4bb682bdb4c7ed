"""An interruption cancels the reply, and the conversation keeps only the part that was heard."""

import asyncio
import logging
from typing import Any, Literal

import pytest

from orpheus_server.fakes import ReplyScript
from tests.support.app import held_script, short_script, wait_for
from tests.support.socket_harness import Received, SocketHarness, events_of, open_socket, written

pytestmark = pytest.mark.anyio

Patch = pytest.MonkeyPatch
By = Literal["cancel", "chat.message"]

# One chunk of 30 frames: 2.56 s.
SENTENCE = "Abcdefg hijklmno pqrstuv wxyz abcd."
SAMPLES = 30 * 2048
FRAME_BYTES = 4096

both_ways = pytest.mark.parametrize("by", ["cancel", "chat.message"])


def truncated(utterance: int, text: str) -> Received:
    return {"type": "transcript.truncated", "utterance": utterance, "text": text}


def cancelled(
    utterance: int, num_samples: int, num_input: int = 0, num_output: int = 0
) -> Received:
    return {
        "type": "audio.done",
        "utterance": utterance,
        "usage": {
            "input_tokens": num_input,
            "output_tokens": num_output,
            "total_tokens": num_input + num_output,
        },
        "num_samples": num_samples,
        "degraded_chunks": [],
        "num_left_out": 0,
        "is_cancelled": True,
    }


def writing(*texts: str) -> ReplyScript:
    """A model that hangs after these texts."""
    return ReplyScript((*texts, "never"), gate=asyncio.Event(), gate_at=len(texts))


def interrupt(harness: SocketHarness, by: By, **fields: Any) -> None:
    if by == "cancel":
        harness.caller.say("cancel", **fields)
    else:
        harness.caller.ask("Stop.", **fields)


async def check_answered(harness: SocketHarness, by: By, *before: tuple[str, str]) -> None:
    """Checks that the next reply arrives alone, and which messages the model got for it."""
    if by == "cancel":
        assert harness.num_active == 0
        harness.caller.ask("Stop.")
    received = await harness.caller.until("audio.done", "error")
    first, *_, last = received
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert (first["type"], last["is_cancelled"]) == ("transcript.delta", False)
    assert {each["utterance"] for each in events_of(received, "")} == {first["utterance"]}
    kinds = ["audio" if isinstance(each, bytes) else each["type"] for each in received]
    assert kinds.index("audio.start") < kinds.index("chunk.start") < kinds.index("audio")
    assert kinds.count("audio") == 1
    assert harness.requested() == [*before, ("user", "Stop.")]
    assert harness.num_active == 0


async def hear_half(harness: SocketHarness) -> int:
    """Receives a sentence of which ten frames are generated; returns its number of samples."""
    harness.engine.enqueue(held_script(short_script(30), asyncio.Event(), num_free_frames=10))
    harness.caller.ask("Hello?")
    await harness.caller.until("chunk.start")
    num_samples = await harness.caller.audio(9 * FRAME_BYTES) // 2
    await wait_for(lambda: harness.num_active == 2)
    return num_samples


async def hear_all(harness: SocketHarness) -> None:
    """Receives a whole sentence while the model is still writing."""
    harness.caller.ask("Hello?")
    await harness.caller.until("chunk.start")
    assert await harness.caller.audio(2 * SAMPLES) == 2 * SAMPLES


@both_ways
class TestBeforeTheFirstAudio:
    async def test_before_the_model_writes(self, monkeypatch: Patch, by: By) -> None:
        async with open_socket(monkeypatch, writing()) as harness:
            harness.caller.ask("Hello?")
            await wait_for(lambda: harness.chat.num_active == 1)
            interrupt(harness, by)
            assert await harness.caller.until("audio.done") == [truncated(0, ""), cancelled(0, 0)]
            assert harness.chat.num_aborted == 1
            if by == "cancel":
                harness.caller.ask("Stop.")
            await harness.caller.until("audio.done")
            # There was no reply in between, so the two messages are one turn.
            assert harness.requested() == [("user", "Hello?\n\nStop.")]

    async def test_while_both_models_are_working(self, monkeypatch: Patch, by: By) -> None:
        """Text that was written but not heard is not part of the conversation."""
        async with open_socket(monkeypatch, writing(f"{SENTENCE} And")) as harness:
            harness.engine.enqueue(held_script(short_script(30), asyncio.Event()))
            harness.caller.ask("Hello?")
            await wait_for(lambda: harness.num_active == 2)
            await harness.caller.until("transcript.delta")
            # The position is ignored, because no audio has been sent.
            interrupt(harness, by, played_ms=5000)
            assert await harness.caller.until("audio.done") == [truncated(0, ""), cancelled(0, 0)]
            assert (harness.chat.num_aborted, harness.engine.num_aborted) == (1, 1)
            if by == "cancel":
                harness.caller.ask("Stop.")
            await harness.caller.until("audio.done")
            assert harness.requested() == [("user", "Hello?\n\nStop.")]


@both_ways
class TestInTheMiddleOfAChunk:
    """768 ms of it were generated; its text lasts about 2.3 s."""

    @pytest.mark.parametrize(
        ("played_ms", "elapsed_sec", "heard"),
        [
            (0, 60.0, ""),
            (400, 60.0, ""),
            (600, 0.0, "Abcdefg"),
            # No more than was sent.
            (60_000, 0.0, "Abcdefg"),
            (None, 0.0, ""),
            (None, 0.4, ""),
            (None, 0.6, "Abcdefg"),
            (None, 60.0, "Abcdefg"),
        ],
    )
    async def test_each_position(
        self,
        monkeypatch: Patch,
        by: By,
        played_ms: float | None,
        elapsed_sec: float,
        heard: str,
    ) -> None:
        async with open_socket(monkeypatch, writing(f"{SENTENCE} And")) as harness:
            num_samples = await hear_half(harness)
            harness.clock.advance(elapsed_sec)
            interrupt(harness, by, **({} if played_ms is None else {"played_ms": played_ms}))
            assert await harness.caller.until("audio.done") == [
                truncated(0, heard),
                cancelled(0, num_samples),
            ]
            assert (harness.chat.num_aborted, harness.engine.num_aborted) == (1, 1)
            if heard:
                await check_answered(harness, by, ("user", "Hello?"), ("assistant", heard))


@both_ways
class TestBetweenChunks:
    """The first one is complete, so its length is known; the model is still writing."""

    @pytest.mark.parametrize(
        ("played_ms", "elapsed_sec", "heard"),
        [
            (1280, 0.0, "Abcdefg hijklmno"),
            (2560, 0.0, SENTENCE),
            (9000, 0.0, SENTENCE),
            (None, 1.28, "Abcdefg hijklmno"),
            (None, 9.0, SENTENCE),
        ],
    )
    async def test_each_position(
        self,
        monkeypatch: Patch,
        by: By,
        played_ms: float | None,
        elapsed_sec: float,
        heard: str,
    ) -> None:
        async with open_socket(monkeypatch, writing(f"{SENTENCE} And")) as harness:
            await hear_all(harness)
            await wait_for(lambda: harness.engine.num_active == 0)
            harness.clock.advance(elapsed_sec)
            interrupt(harness, by, **({} if played_ms is None else {"played_ms": played_ms}))
            assert await harness.caller.until("audio.done") == [
                truncated(0, heard),
                cancelled(0, SAMPLES, 32, 211),
            ]
            await check_answered(harness, by, ("user", "Hello?"), ("assistant", heard))


class TestAfterTheEnd:
    """All of the reply was sent, at most ten seconds ahead of the player."""

    TEXT = f"**{SENTENCE}** 😀"

    async def hear(self, harness: SocketHarness) -> None:
        harness.caller.ask("Hello?")
        await harness.caller.until("audio.done")

    @both_ways
    @pytest.mark.parametrize(
        ("played_ms", "elapsed_sec", "share"),
        [(1280, 0.0, "half"), (None, 1.28, "half"), (0, 9.0, "none"), (None, 0.0, "none")],
    )
    async def test_a_player_that_is_still_playing(
        self,
        monkeypatch: Patch,
        by: By,
        played_ms: float | None,
        elapsed_sec: float,
        share: str,
    ) -> None:
        """Regression: the conversation held text that had not been heard."""
        heard = "Abcdefg hijklmno" if share == "half" else ""
        async with open_socket(monkeypatch, ReplyScript((SENTENCE,))) as harness:
            await self.hear(harness)
            harness.clock.advance(elapsed_sec)
            interrupt(harness, by, **({} if played_ms is None else {"played_ms": played_ms}))
            assert await harness.caller.until("transcript.truncated") == [truncated(0, heard)]
            if heard:
                await check_answered(harness, by, ("user", "Hello?"), ("assistant", heard))

    @both_ways
    @pytest.mark.parametrize(
        ("played_ms", "elapsed_sec"), [(2560, 0.0), (2500, 0.0), (9999, 0.0), (None, 2.56)]
    )
    async def test_a_player_that_has_finished(
        self, monkeypatch: Patch, by: By, played_ms: float | None, elapsed_sec: float
    ) -> None:
        """The conversation keeps the reply as written, and the client gets no event."""
        async with open_socket(monkeypatch, ReplyScript((self.TEXT,))) as harness:
            await self.hear(harness)
            harness.clock.advance(elapsed_sec)
            interrupt(harness, by, **({} if played_ms is None else {"played_ms": played_ms}))
            await check_answered(harness, by, ("user", "Hello?"), ("assistant", self.TEXT))

    async def test_only_the_first_interruption_counts(self, monkeypatch: Patch) -> None:
        async with open_socket(monkeypatch, ReplyScript((SENTENCE,))) as harness:
            await self.hear(harness)
            harness.caller.say("cancel", played_ms=1280)
            harness.caller.say("cancel", played_ms=0)
            harness.caller.ask("Stop.", played_ms=0)
            assert await harness.caller.until("transcript.truncated") == [
                truncated(0, "Abcdefg hijklmno")
            ]
            turns = ("user", "Hello?"), ("assistant", "Abcdefg hijklmno")
            await check_answered(harness, "chat.message", *turns)

    async def test_a_new_conversation(self, monkeypatch: Patch) -> None:
        """The interrupted reply is not part of it."""
        history = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}]
        async with open_socket(monkeypatch, ReplyScript((SENTENCE,))) as harness:
            await self.hear(harness)
            harness.caller.say("session.start", history=history)
            await harness.caller.until("session.started")
            harness.caller.ask("Stop.", played_ms=0)
            await check_answered(harness, "chat.message", ("user", "Hi."), ("assistant", "Ho."))

    @pytest.mark.parametrize("elapsed_sec", [1.28, 9.0])
    async def test_text_was_spoken_after_it(self, monkeypatch: Patch, elapsed_sec: float) -> None:
        """The position is then in that text, and does not say how much of the reply was played."""
        async with open_socket(monkeypatch, ReplyScript((SENTENCE,))) as harness:
            await self.hear(harness)
            harness.caller.say("text.delta", text="Hello you.")
            harness.caller.say("text.done")
            await harness.caller.until("audio.done")
            harness.clock.advance(elapsed_sec)
            harness.caller.ask("Stop.", played_ms=10)
            heard = SENTENCE
            if elapsed_sec < 2.56:
                heard = "Abcdefg hijklmno"
                assert await harness.caller.until("transcript.truncated") == [truncated(0, heard)]
            turns = ("user", "Hello?"), ("assistant", heard)
            await check_answered(harness, "chat.message", *turns)


async def test_a_message_cancels_text_too(monkeypatch: Patch) -> None:
    """The current utterance, the waiting one, and the one whose text is still arriving."""
    async with open_socket(monkeypatch) as harness:
        harness.engine.enqueue(held_script(short_script(30), asyncio.Event()))
        for _ in range(2):
            harness.caller.say("text.delta", text=SENTENCE)
            harness.caller.say("text.done")
        harness.caller.say("text.delta", text="Hel")
        await wait_for(lambda: harness.engine.num_active == 1)
        harness.caller.ask("Stop.")
        for index in range(3):
            assert await harness.caller.until("audio.done") == [cancelled(index, 0)]
        await check_answered(harness, "chat.message")


async def test_text_on_both_sides_of_a_message(monkeypatch: Patch) -> None:
    """The message cancels unfinished text; later text is a new utterance after the reply."""
    async with open_socket(monkeypatch) as harness:
        harness.caller.say("text.delta", text="Hel")
        harness.caller.ask("Stop.")
        harness.caller.say("text.delta", text="Hello you.")
        harness.caller.say("text.done")
        assert await harness.caller.until("audio.done") == [cancelled(0, 0)]
        await check_answered(harness, "chat.message")
        start, chunk, *_ = await harness.caller.until("audio.done")
        assert isinstance(chunk, dict)
        assert (chunk["utterance"], chunk["text"]) == (2, "Hello you.")


async def test_thirty_messages_in_a_row(monkeypatch: Patch) -> None:
    """The conversation keeps every message, whether its reply had begun or not."""
    async with open_socket(monkeypatch) as harness:
        harness.chat.enqueue(*[writing(f"{SENTENCE} And") for _ in range(40)])
        for index in range(30):
            harness.caller.ask(f"Word {index}.")
        received: list[Received] = []
        for _ in range(29):
            received += await harness.caller.until("audio.done")
        assert events_of(received, "error") == []
        dones = events_of(received, "audio.done")
        assert [each["utterance"] for each in dones] == list(range(29))
        assert all(each["is_cancelled"] for each in dones)
        assert events_of(received, "transcript.truncated") == [
            truncated(index, "") for index in range(29)
        ]
        await harness.caller.until("chunk.start")
        said = "\n\n".join(f"Word {index}." for index in range(30))
        assert harness.requested() == [("user", said)]
        assert harness.chat.num_active == 1
        harness.caller.say("cancel")
        await harness.caller.until("audio.done")
        assert harness.num_active == 0


async def test_thirty_replies_in_a_row(monkeypatch: Patch) -> None:
    async with open_socket(monkeypatch) as harness:
        for _ in range(30):
            harness.caller.ask("Well?")
            received = await harness.caller.until("audio.done", "error")
            assert written(received) == "Yes."
            harness.clock.advance(1.0)
        assert harness.requested() == [("user", "Well?"), ("assistant", "Yes.")] * 29 + [
            ("user", "Well?")
        ]
        assert harness.chat.num_aborted == 0


async def test_the_log_and_the_metrics(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cancelled reply is not counted as a disconnect."""
    caplog.set_level(logging.INFO, logger="orpheus_server")
    async with open_socket(monkeypatch, writing(f"{SENTENCE} And")) as harness:
        await hear_half(harness)
        harness.caller.say("cancel")
        await harness.caller.until("audio.done")
        metrics = harness.runtime.metrics
    (line,) = [each for each in caplog.messages if " outcome=" in each]
    assert " outcome=cancelled llm=scripted " in line
    counted = 'orpheus_utterances_total{outcome="cancelled",route="/v1/audio/stream"} 1.0'
    rendered = metrics.render().decode()
    assert counted in rendered
    assert "orpheus_disconnects_total{" not in rendered


class TestEnd:
    async def test_the_current_reply_is_spoken_to_its_end(self, monkeypatch: Patch) -> None:
        gate = asyncio.Event()
        script = ReplyScript((f"{SENTENCE} And", " more."), gate=gate, gate_at=1)
        async with open_socket(monkeypatch, script) as harness:
            await hear_all(harness)
            harness.runtime.begin_drain()
            gate.set()
            received = await harness.caller.until("audio.done", "error")
            assert written(received) == " more."
            assert events_of(received, "error") == []
            (end,) = await harness.caller.until("error")
            assert isinstance(end, dict)
            assert end["error"]["code"] == "shutting_down"
            await wait_for(lambda: harness.caller.code is not None)
            assert harness.caller.code == 1001

    async def test_the_current_reply_can_be_cancelled(self, monkeypatch: Patch) -> None:
        async with open_socket(monkeypatch, writing(f"{SENTENCE} And")) as harness:
            await hear_half(harness)
            harness.runtime.begin_drain()
            harness.caller.say("cancel", played_ms=600)
            received = await harness.caller.until("error")
            assert received[0] == truncated(0, "Abcdefg")
            assert [each["type"] for each in events_of(received, "")] == [
                "transcript.truncated",
                "audio.done",
                "error",
            ]
