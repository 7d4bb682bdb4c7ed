"""A reply while it is written: text for clients, chunks for the voice, errors for both."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from orpheus_server.chat.filters import StopStringFilter
from orpheus_server.chat.reply import (
    MAX_REPLY_CHARS,
    Reply,
    ReplyChunker,
    ReplyStats,
    open_reply,
)
from orpheus_server.errors import ChatModelFailed, ChatModelTimedOut, EngineDead
from orpheus_server.fakes import ReplyScript, ScriptedChatModel
from orpheus_server.interfaces import ChatMessage, ReplyDelta, ReplyOptions, ReplyRequest
from orpheus_server.text.chunking import ChunkLimits
from orpheus_server.text.front_end import FrontEnd, LetterFrontEnd, PhonemeFrontEnd, PreparedText
from orpheus_server.text.markdown.spoken_text import Markup, SpokenTextStream
from tests.support.app import WAIT_LIMIT_SEC, CountingPhonemizer, other_tasks, settle

pytestmark = pytest.mark.anyio

LIMITS = ChunkLimits(chunk_max_chars=500, chunk_max_sec=50.0)
FRONT_END = LetterFrontEnd(lambda text: len(text) / 15)


async def run_text(function: Callable[[], list[PreparedText]]) -> list[PreparedText]:
    return function()


def chunker(front_end: FrontEnd = FRONT_END) -> ReplyChunker:
    tags = frozenset({"laugh"})
    stream = SpokenTextStream(tags=tags, limits=LIMITS, front_end=front_end, markup=Markup.CHAT)
    return ReplyChunker(stream, run_text)


def request_of(*stop: str) -> ReplyRequest:
    return ReplyRequest("req", (ChatMessage("user", "Hi."),), ReplyOptions(stop=stop))


def model_of(*texts: str, **changes: object) -> ScriptedChatModel:
    return ScriptedChatModel(ReplyScript(texts, **changes))  # type: ignore[arg-type]


async def texts_of(reply: Reply) -> AsyncGenerator[str, None]:
    async with aclosing(reply.chunks()) as chunks:
        async for chunk in chunks:
            yield chunk.text


async def rest_of(items: AsyncGenerator[str, None]) -> tuple[list[str], Exception | None]:
    """Returns all items, and the error at the end."""
    taken = []
    try:
        async with aclosing(items):
            async for item in items:
                taken.append(item)
    except Exception as error:
        return taken, error
    return taken, None


ANSWER = ("Well, that is", " a good question. ", "Dr. Smith says", " **yes**. ", "Bye", "!")


class TestText:
    async def test_deltas_are_the_text_as_written(self) -> None:
        async with open_reply(
            model_of(*ANSWER), request_of(), chunker=None, timeout_sec=9.0
        ) as reply:
            assert await rest_of(reply.deltas()) == (list(ANSWER), None)
            assert reply.text == "".join(ANSWER)
            assert (reply.stats.num_tokens, reply.stats.num_prompt_tokens) == (6, 5)
            assert reply.stats.finish_reason == "stop"

    async def test_a_stop_string_ends_it_wherever_it_was_cut(self) -> None:
        model = model_of("One tw", "o", " thr", "ee four")
        async with open_reply(
            model, request_of("three", "nine"), chunker=None, timeout_sec=9.0
        ) as reply:
            assert await rest_of(reply.deltas()) == (["One tw", "o", " "], None)
            assert reply.stats.finish_reason == "stop"
        # The model was stopped.
        assert (model.num_active, model.num_aborted) == (0, 1)

    async def test_text_held_back_for_a_stop_string_is_returned_at_the_end(self) -> None:
        async with open_reply(
            model_of("One thr"), request_of("three"), chunker=None, timeout_sec=9.0
        ) as reply:
            assert await rest_of(reply.deltas()) == (["One ", "thr"], None)

    async def test_an_endless_reply_is_cut(self) -> None:
        model = model_of(*["x" * 10_000] * 50)
        async with open_reply(model, request_of(), chunker=None, timeout_sec=9.0) as reply:
            deltas, error = await rest_of(reply.deltas())
            assert sum(map(len, deltas)) == MAX_REPLY_CHARS
            assert (error, reply.stats.finish_reason) == (None, "length")
        assert model.num_active == 0

    async def test_a_reply_in_one_delta_is_cut_too(self) -> None:
        """A delta of a million characters was accepted and spoken."""
        text = "ab cd " * 200_000
        model = model_of(text)
        options = ReplyOptions(stop=("d a!",))
        request = ReplyRequest("r", (), options)
        async with open_reply(model, request, chunker=None, timeout_sec=9.0) as reply:
            deltas, error = await rest_of(reply.deltas())
            assert "".join(deltas) == text[:MAX_REPLY_CHARS]
            assert (error, reply.stats.finish_reason) == (None, "length")

    async def test_an_empty_reply(self) -> None:
        async with open_reply(
            model_of(), request_of(), chunker=chunker(), timeout_sec=9.0
        ) as reply:
            assert await rest_of(reply.deltas()) == ([], None)
            assert await rest_of(texts_of(reply)) == ([], None)
            assert reply.stats.first_token_sec is None


class TestChunks:
    async def test_a_sentence_is_ready_while_the_next_is_written(self) -> None:
        """Speech started only when the whole answer had been written."""
        gate = asyncio.Event()
        model = model_of(*ANSWER, gate=gate, gate_at=3)
        async with (
            asyncio.timeout(WAIT_LIMIT_SEC),
            open_reply(model, request_of(), chunker=chunker(), timeout_sec=9.0) as reply,
        ):
            chunks = texts_of(reply)
            assert await anext(chunks) == "Well, that is a good question."
            assert not reply.has_ended
            gate.set()
            assert await rest_of(chunks) == (["Dr. Smith says yes. Bye!"], None)
            assert reply.has_ended
            assert reply.stats.num_sentences == 3

    async def test_each_chunk_is_phonemized_once(self) -> None:
        phonemizer = CountingPhonemizer()
        spoken = chunker(PhonemeFrontEnd(phonemizer))
        async with open_reply(
            model_of(*ANSWER), request_of(), chunker=spoken, timeout_sec=9.0
        ) as reply:
            assert await rest_of(texts_of(reply)) == (phonemizer.texts, None)
            assert phonemizer.texts == [
                "Well, that is a good question.",
                "Dr. Smith says yes. Bye!",
            ]

    async def test_markup_is_not_spoken_and_tags_are(self) -> None:
        model = model_of("- **One** and <laugh> `two`\n", "```\ncode\n```\n", "😀 Three.")
        async with open_reply(model, request_of(), chunker=chunker(), timeout_sec=9.0) as reply:
            chunks, error = await rest_of(texts_of(reply))
            assert error is None
            assert " ".join(chunks) == "One and <laugh> two. Three."
            assert reply.text.startswith("- **One**")


class TestFailures:
    @pytest.mark.parametrize("error", [ChatModelFailed("no"), EngineDead("gone")])
    async def test_text_before_the_error_is_spoken(self, error: Exception) -> None:
        model = model_of("This is a whole sentence. ", "And this is ha", error=error)
        async with open_reply(model, request_of(), chunker=chunker(), timeout_sec=9.0) as reply:
            assert await rest_of(texts_of(reply)) == (["This is a whole sentence."], error)
            deltas, raised = await rest_of(reply.deltas())
            assert (deltas, raised) == (["This is a whole sentence. ", "And this is ha"], error)

    async def test_a_reply_that_ends_early_is_an_error(self) -> None:
        model = model_of("This is a whole sentence. ", "And", finish_reason=None)
        async with open_reply(model, request_of(), chunker=chunker(), timeout_sec=9.0) as reply:
            chunks, error = await rest_of(texts_of(reply))
            assert chunks == ["This is a whole sentence."]
            assert isinstance(error, ChatModelFailed)

    @pytest.mark.parametrize("gate_at", [0, 1])
    async def test_no_token_within_the_limit_is_an_error(self, gate_at: int) -> None:
        model = model_of("A", "B", gate=asyncio.Event(), gate_at=gate_at)
        async with open_reply(model, request_of(), chunker=None, timeout_sec=0.01) as reply:
            deltas, error = await rest_of(reply.deltas())
            assert deltas == ["A"][:gate_at]
            assert isinstance(error, ChatModelTimedOut)
            assert str(error) == ("The language model wrote nothing for 0.01 s, the time limit.")
            assert (model.num_active, model.num_aborted) == (0, 1)

    async def test_a_timeout_raised_by_the_model_passes(self) -> None:
        model = model_of("A", error=TimeoutError("its own"))
        async with open_reply(model, request_of(), chunker=None, timeout_sec=9.0) as reply:
            _, error = await rest_of(reply.deltas())
            assert repr(error) == "TimeoutError('its own')"

    async def test_a_kept_reply_drops_its_error(self) -> None:
        """A session keeps its latest reply, whose traceback kept a dead engine in memory."""
        error = EngineDead("gone")
        held = weakref.ref(error)
        model = model_of("A", error=error)
        async with open_reply(model, request_of(), chunker=None, timeout_sec=9.0) as reply:
            with pytest.raises(EngineDead):
                async for _ in reply.deltas():
                    pass
        del error, model
        gc.collect()
        assert reply.text == "A"
        assert held() is None


class TestLeaving:
    @pytest.mark.parametrize("gate_at", [0, 2])
    async def test_the_model_is_stopped(self, gate_at: int) -> None:
        before = other_tasks()
        model = model_of(*ANSWER, gate=asyncio.Event(), gate_at=gate_at)
        async with open_reply(model, request_of(), chunker=chunker(), timeout_sec=9.0):
            await settle()
            assert model.num_active == 1
        assert (model.num_active, model.num_aborted) == (0, 1)
        assert other_tasks() == before


class TestStats:
    async def test_times_start_with_the_request(self) -> None:
        now = 10.0

        def clock() -> float:
            return now

        async def deltas() -> AsyncGenerator[ReplyDelta, None]:
            nonlocal now
            now = 11.0
            yield ReplyDelta("Hello", 1, num_prompt_tokens=7)
            now = 12.0
            yield ReplyDelta(" you", 3)
            now = 19.0
            yield ReplyDelta("", 0, "length")

        reply = Reply(None, clock=clock)
        await reply.write(deltas(), StopStringFilter(()))
        assert reply.stats == ReplyStats(
            num_prompt_tokens=7,
            num_tokens=4,
            first_token_sec=1.0,
            last_token_sec=2.0,
            finish_reason="length",
        )
        assert reply.stats.tokens_per_sec == 3.0

    def test_one_token_has_no_rate(self) -> None:
        stats = ReplyStats(num_tokens=1, first_token_sec=1.0, last_token_sec=1.0)
        assert stats.tokens_per_sec == 0.0
        assert ReplyStats().tokens_per_sec == 0.0
