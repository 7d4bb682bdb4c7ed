"""A remote language model against a stub that behaves like many kinds of servers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest

from orpheus_server.chat.remote.model import RemoteChatModel
from orpheus_server.chat.reply import open_reply
from orpheus_server.chat.selection import resolve_chat_config
from orpheus_server.engine.group import EngineGroup
from orpheus_server.errors import (
    ChatModelFailed,
    ChatModelTimedOut,
    ChatModelUnavailable,
    OrpheusError,
    RequestError,
    StartError,
)
from orpheus_server.interfaces import ChatModelInfo, ReplyDelta
from orpheus_server.runtime.chat_stack import open_chat_model
from tests.chat.remote.remote_model import (
    KEY,
    SHORT_SEC,
    answer,
    asks,
    failure,
    open_model,
    settings_for,
    take,
    warnings_in,
)
from tests.support.app import wait_for
from tests.support.stub_llm import (
    Responder,
    StubLlm,
    StubRequest,
    StubResponse,
    chunk,
    cuts,
    events,
    hangs,
    rejects,
    says,
    waits,
)

pytestmark = pytest.mark.anyio


END = (chunk(finish="stop"), "[DONE]")


class TestAnswer:
    async def test_deltas_and_counts(self, stub: StubLlm) -> None:
        """The last delta adds the tokens that the server counted beyond the events."""
        assert await answer(says("Hel", "lo", counts=(5, 7)), stub) == [
            ReplyDelta("Hel", 1),
            ReplyDelta("lo", 1),
            ReplyDelta("", 5, "stop", 5),
        ]

    async def test_without_counts_an_event_is_a_token(self, stub: StubLlm) -> None:
        assert await answer(says("Hel", "lo", counts=None), stub) == [
            ReplyDelta("Hel", 1),
            ReplyDelta("lo", 1),
            ReplyDelta("", 0, "stop"),
        ]

    async def test_fewer_tokens_than_events_are_not_subtracted(self, stub: StubLlm) -> None:
        assert (await answer(says("a", "b", counts=(5, 1)), stub))[-1] == ReplyDelta(
            "", 0, "stop", 5
        )

    @pytest.mark.parametrize(
        ("finish", "reason"),
        [
            ("stop", "stop"),
            ("length", "length"),
            ("content_filter", "stop"),
            ("tool_calls", "stop"),
            ("function_call", "stop"),
            ("something_new", "stop"),
        ],
    )
    async def test_finish_reasons(self, stub: StubLlm, finish: str, reason: str) -> None:
        deltas = await answer(says("Hi", finish=finish), stub)
        assert [delta.finish_reason for delta in deltas] == [None, reason]

    async def test_an_empty_answer(self, stub: StubLlm) -> None:
        assert await answer(says(counts=(5, 0)), stub) == [ReplyDelta("", 0, "stop", 5)]

    async def test_events_without_text(self, stub: StubLlm) -> None:
        nothing: tuple[object, ...] = (
            {"choices": []},
            {"choices": None},
            {"choices": ["odd"]},
            {"choices": [{"delta": None}]},
            chunk(None, tool_calls=[{"index": 0}]),
            {},
        )
        assert await answer(events(*nothing, chunk("Hi"), *END), stub) == [
            ReplyDelta("Hi", 1),
            ReplyDelta("", 0, "stop"),
        ]

    async def test_done_without_a_finish_reason_is_an_end(self, stub: StubLlm) -> None:
        deltas = await answer(events(chunk("Hi"), "[DONE]"), stub)
        assert deltas == [ReplyDelta("Hi", 1), ReplyDelta("", 0, "stop")]

    async def test_a_finish_reason_without_done_is_an_end(self, stub: StubLlm) -> None:
        deltas = await answer(events(chunk("Hi"), chunk(finish="length")), stub)
        assert deltas == [ReplyDelta("Hi", 1), ReplyDelta("", 0, "length")]

    async def test_a_body_that_ends_with_its_connection(self, stub: StubLlm) -> None:
        deltas = await answer(events(chunk("Hi"), *END, is_chunked=False), stub)
        assert deltas == [ReplyDelta("Hi", 1), ReplyDelta("", 0, "stop")]

    async def test_reasoning_counts_as_tokens_without_text(self, stub: StubLlm) -> None:
        """Those tokens reset the time limit between tokens."""
        thoughts = (chunk(None, reasoning_content="Hm"), chunk("", reasoning="Well"))
        assert await answer(events(*thoughts, chunk("Hi"), *END), stub) == [
            ReplyDelta("", 1),
            ReplyDelta("", 1),
            ReplyDelta("Hi", 1),
            ReplyDelta("", 0, "stop"),
        ]

    async def test_reasoning_within_the_text(self, stub: StubLlm) -> None:
        deltas = await answer(says("<thi", "nk>Hm", "</think>\n", "\nHi", counts=None), stub)
        assert "".join(delta.text for delta in deltas) == "Hi"
        assert sum(delta.num_tokens for delta in deltas) == 4

    async def test_characters_split_into_surrogates(self, stub: StubLlm) -> None:
        """Some servers escape each surrogate separately, and a lone one cannot be encoded."""
        deltas = await answer(events(chunk("a\ud83d"), chunk("\ude00"), *END), stub)
        assert [delta.text for delta in deltas] == ["a", "\U0001f600", ""]

    async def test_a_lone_surrogate_at_the_end(self, stub: StubLlm) -> None:
        deltas = await answer(events(chunk("a\ud83d"), *END), stub)
        assert [delta.text for delta in deltas] == ["a", "\ufffd"]

    async def test_a_server_that_does_not_stream(self, stub: StubLlm) -> None:
        message = {"role": "assistant", "content": "Hello there"}
        whole = {
            "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 4, "completion_tokens": 2},
        }

        async def responder(requested: StubRequest, response: StubResponse) -> None:
            response.json(200, whole)

        deltas = await answer(responder, stub)
        assert deltas == [ReplyDelta("Hello there", 1), ReplyDelta("", 1, "length", 4)]

    async def test_waiting_for_counts_is_bounded(self, stub: StubLlm) -> None:
        """A server that hangs after the finish reason delays the end only by this limit."""
        said = [chunk("Hi"), chunk(finish="stop")]
        deltas = await answer(waits(asyncio.Event(), said), stub, tail_sec=SHORT_SEC)
        assert deltas == [ReplyDelta("Hi", 1), ReplyDelta("", 0, "stop")]

    @pytest.mark.parametrize(
        "responder",
        [
            cuts(chunk("Hi"), chunk(finish="stop")),
            events(chunk("Hi"), chunk(finish="stop"), {"error": {"message": "late"}}),
            events(chunk("Hi"), chunk(finish="stop"), "{"),
        ],
    )
    async def test_errors_after_the_end_are_ignored(
        self, stub: StubLlm, responder: Responder
    ) -> None:
        deltas = await answer(responder, stub)
        assert deltas == [ReplyDelta("Hi", 1), ReplyDelta("", 0, "stop")]

    async def test_the_connection_is_reused(self, stub: StubLlm) -> None:
        async with open_model(stub.url) as model:
            for _ in range(3):
                await take(model)
        assert stub.num_connections == 1


class TestRequest:
    async def test_only_requested_options_are_sent(self, stub: StubLlm) -> None:
        async with open_model(stub.url) as model:
            await take(model, asks("Hi", system="Be short."))
        assert stub.bodies == [
            {
                "model": "m",
                "messages": [
                    {"role": "system", "content": "Be short."},
                    {"role": "user", "content": "Hi"},
                ],
                "stream": True,
                # 2048 minus 3 + 6 for the system prompt and 1 + 6 for the message.
                "max_tokens": 2032,
                "stream_options": {"include_usage": True},
            }
        ]

    async def test_every_option(self, stub: StubLlm) -> None:
        request = asks(
            "Hi",
            temperature=0.0,
            top_p=0.5,
            max_tokens=9,
            seed=0,
            presence_penalty=0.5,
            frequency_penalty=-0.5,
            stop=("a", "b", "c", "d", "e"),
        )
        async with open_model(stub.url) as model:
            await take(model, request)
        assert stub.bodies[0] == {
            "model": "m",
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": True,
            "max_tokens": 9,
            "temperature": 0.0,
            "top_p": 0.5,
            "seed": 0,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "stop": ["a", "b", "c", "d"],
            "stream_options": {"include_usage": True},
        }

    async def test_the_oldest_messages_are_left_out(self, stub: StubLlm) -> None:
        # Each has 106 tokens, and 512 tokens with half reserved fit two.
        request = asks("a" * 300, "b" * 300, "c" * 300, "d" * 300, "e" * 300)
        async with open_model(stub.url, llm_max_model_len=512) as model:
            await take(model, request)
        assert [each["content"][0] for each in stub.bodies[0]["messages"]] == ["e"]
        assert stub.bodies[0]["max_tokens"] == 512 - 106

    async def test_a_message_that_does_not_fit_is_not_sent(
        self, stub: StubLlm, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with open_model(stub.url, llm_max_model_len=512) as model:
            with pytest.raises(RequestError) as caught:
                await take(model, asks("a" * 3000))
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
        assert stub.requested == []
        assert warnings_in(caplog) == []

    @pytest.mark.parametrize(("key", "shown"), [(KEY, f"Bearer {KEY}"), (None, "Bearer none")])
    async def test_nothing_from_the_environment_is_sent(
        self,
        stub: StubLlm,
        monkeypatch: pytest.MonkeyPatch,
        key: str | None,
        shown: str,
    ) -> None:
        """Keys, organization, project, headers and proxy there are meant for another server."""
        for name in (
            *("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"),
            *("OPENAI_WEBHOOK_SECRET", "AZURE_OPENAI_API_KEY"),
        ):
            monkeypatch.setenv(name, "leaked")
        for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9/leaked")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Own: leaked\nAuthorization: Bearer leaked")
        async with open_model(stub.url, llm_api_key=key) as model:
            await model.look()
            await take(model)
        body = {
            "host": f"127.0.0.1:{stub.port}",
            "connection": "keep-alive",
            "authorization": shown,
            "accept": "text/event-stream, application/json",
            "accept-encoding": "identity",
            "user-agent": "orpheus-server/0.1.0",
            "x-stainless-retry-count": "0",
        }
        assert dict(stub.model_requests[0].headers) == body
        sent = dict(stub.requested[0].headers)
        del sent["content-length"]
        assert sent == {**body, "content-type": "application/json"}
        assert stub.requested[0].path == "/v1/chat/completions"

    async def test_no_redirect_is_followed(self, stub: StubLlm) -> None:
        """The conversation would go to a server that is not configured."""

        async def responder(requested: StubRequest, response: StubResponse) -> None:
            response.json(307, {}, headers={"location": f"{stub.url}/elsewhere"})

        error = await failure(responder, stub)
        assert isinstance(error, ChatModelFailed)
        assert str(error) == "The language model's server rejected the request: status 307."
        assert len(stub.requested) == 1


class TestLeaving:
    @pytest.mark.parametrize("before", [(), (chunk("Hi"),)])
    async def test_a_cancelled_caller_closes_the_connection(
        self, stub: StubLlm, before: tuple[object, ...]
    ) -> None:
        stub.responders.append(waits(asyncio.Event(), before))
        async with open_model(stub.url) as model:
            task = asyncio.create_task(take(model))
            await wait_for(lambda: stub.num_running == 1)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await wait_for(lambda: stub.num_running == 0)
            assert stub.num_left == 1
            assert model.num_active == 0
            # The connection has left the pool too, and the next request is answered.
            assert [delta.text for delta in await take(model)] == ["Hello", ".", ""]

    async def test_a_closed_generator_closes_the_connection(self, stub: StubLlm) -> None:
        stub.responders.append(waits(asyncio.Event(), [chunk("Hi")]))
        async with open_model(stub.url) as model:
            async with aclosing(model.reply(asks())) as deltas:
                assert await anext(deltas) == ReplyDelta("Hi", 1)
                assert model.num_active == 1
            assert model.num_active == 0
            await wait_for(lambda: stub.num_left == 1)

    async def test_many_callers_leave(self, stub: StubLlm) -> None:
        stub.default = waits(asyncio.Event(), [chunk("Hi")])
        async with open_model(stub.url) as model:
            tasks = [asyncio.create_task(take(model)) for _ in range(50)]
            await wait_for(lambda: stub.num_running == 50)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await wait_for(lambda: stub.num_left == 50)
            stub.default = says("Hi")
            assert [delta.text for delta in await take(model)] == ["Hi", ""]


class TestLook:
    async def test_a_model_that_is_listed(
        self, stub: StubLlm, caplog: pytest.LogCaptureFixture
    ) -> None:
        for names in (["other", "m"], ["m:latest"]):
            stub.model_names = names
            async with open_model(stub.url) as model:
                await model.look()
        assert warnings_in(caplog) == []

    async def test_a_model_that_is_not_listed(
        self, stub: StubLlm, caplog: pytest.LogCaptureFixture
    ) -> None:
        stub.model_names = ["other", "another"]
        async with open_model(stub.url) as model:
            await model.look()
        assert warnings_in(caplog) == [
            "the language model's server at 127.0.0.1 lists 2 models but not 'm': check "
            "LLM_MODEL_NAME"
        ]

    @pytest.mark.parametrize(
        ("context_tokens", "max_tokens"), [(1000, 987), (100_000, 2035), (None, 2035)]
    )
    async def test_the_context_of_the_model(
        self, stub: StubLlm, context_tokens: int | None, max_tokens: int
    ) -> None:
        """LLM_MAX_MODEL_LEN is 2048, and the message takes 13."""
        stub.max_model_len = context_tokens
        async with open_model(stub.url) as model:
            await model.look()
            await take(model, asks("x" * 21))
        assert stub.bodies[0]["max_tokens"] == max_tokens

    @pytest.mark.parametrize(
        ("responder", "cause"),
        [
            (rejects(401, f"No: {KEY}"), "status 401"),
            (rejects(404), "status 404"),
            (hangs, "TimeoutError"),
            (cuts(), "RemoteProtocolError"),
            (events(), "ValueError"),
        ],
    )
    async def test_no_list_of_models(
        self, stub: StubLlm, responder: Responder, cause: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        stub.models = responder
        limit_sec = SHORT_SEC if responder is hangs else 5.0
        async with open_model(stub.url, look_timeout_sec=limit_sec, llm_api_key=KEY) as model:
            await model.look()
        assert warnings_in(caplog) == [
            f"the language model's server at 127.0.0.1 does not list its models ({cause}): check "
            "that it is running, LLM_BASE_URL (which usually ends in /v1) and LLM_API_KEY"
        ]

    async def test_models_are_listed_at_the_start(self, stub: StubLlm) -> None:
        settings = settings_for(stub.url, llm_model_name="gemma2:2b")
        stub.model_names = ["gemma2:2b"]
        config = resolve_chat_config(settings, runs_gemma=False)
        assert config is not None
        async with AsyncExitStack() as stack:
            model = await open_chat_model(
                config, settings, stack, is_cuda=False, group=EngineGroup(), on_give_up=pytest.fail
            )
            assert len(stub.model_requests) == 1
            assert model.is_alive
            assert model.info == ChatModelInfo(
                name="gemma2:2b",
                provider="127.0.0.1",
                license="Gemma Terms of Use",
                license_url="https://ai.google.dev/gemma/terms",
                attribution="Gemma by Google DeepMind, subject to the Gemma Terms of Use",
            )
            assert [delta.text async for delta in model.reply(asks())] == ["Hello", ".", ""]
        await wait_for(lambda: not stub.connections)

    def test_a_url_that_the_client_rejects(self) -> None:
        settings = settings_for("http://999.1.1.1/v1")
        with pytest.raises(StartError, match="^LLM_BASE_URL="):
            RemoteChatModel(ChatModelInfo("m", "server"), settings)


@asynccontextmanager
async def replying(
    stub: StubLlm, responder: Responder, *, timeout_sec: float = 5.0, stop: tuple[str, ...] = ()
) -> AsyncIterator[tuple[list[str], Callable[[], OrpheusError | None]]]:
    """Reads an answer, and returns its error."""
    stub.responders.append(responder)
    texts: list[str] = []
    ended: list[OrpheusError | None] = []
    async with open_model(stub.url) as model:
        request = asks(stop=stop)
        async with open_reply(model, request, chunker=None, timeout_sec=timeout_sec) as reply:
            try:
                async for text in reply.deltas():
                    texts.append(text)
                ended.append(None)
            except OrpheusError as error:
                ended.append(error)
        yield texts, ended.pop


class TestReply:
    async def test_read_to_the_end(self, stub: StubLlm) -> None:
        async with replying(stub, says("Hel", "lo")) as (texts, ended):
            assert (texts, ended()) == (["Hel", "lo"], None)

    @pytest.mark.parametrize(
        ("before", "texts", "limit_sec"),
        # The token that arrives must have enough time.
        [((), [], SHORT_SEC), ((chunk("Hi"),), ["Hi"], 0.5)],
        ids=["first", "next"],
    )
    async def test_a_token_that_never_arrives(
        self, stub: StubLlm, before: tuple[object, ...], texts: list[str], limit_sec: float
    ) -> None:
        responder = waits(asyncio.Event(), before)
        async with replying(stub, responder, timeout_sec=limit_sec) as (taken, ended):
            error = ended()
            assert isinstance(error, ChatModelTimedOut)
            assert str(error) == (
                f"The language model wrote nothing for {limit_sec:g} s, the time limit."
            )
            assert taken == texts
            # On a busy machine the time may run out before the request is sent.
            await wait_for(lambda: stub.num_left == len(stub.requested))

    async def test_an_answer_that_ends_early(self, stub: StubLlm) -> None:
        async with replying(stub, cuts(chunk("Hel"))) as (texts, ended):
            assert texts == ["Hel"]
            assert isinstance(ended(), ChatModelFailed)

    async def test_a_rejected_request(self, stub: StubLlm) -> None:
        async with replying(stub, rejects(429, headers={"retry-after": "3"})) as (texts, ended):
            error = ended()
            assert isinstance(error, ChatModelUnavailable)
            assert (texts, error.retry_after_sec) == ([], 3)

    async def test_a_stop_string_ends_the_model_too(self, stub: StubLlm) -> None:
        """It is sent, and a server that ignores it is stopped by closing the connection."""
        responder = waits(asyncio.Event(), [chunk("One END two")])
        async with replying(stub, responder, stop=("END",)) as (texts, ended):
            assert (texts, ended()) == (["One "], None)
            assert stub.bodies[0]["stop"] == ["END"]
            await wait_for(lambda: stub.num_left == 1)

    async def test_leaving_stops_the_model(self, stub: StubLlm) -> None:
        stub.responders.append(waits(asyncio.Event(), [chunk("Hi")]))
        async with open_model(stub.url) as model:
            async with open_reply(model, asks(), chunker=None, timeout_sec=5.0) as reply:
                deltas = reply.deltas()
                assert await anext(deltas) == "Hi"
                await deltas.aclose()
            assert model.num_active == 0
            await wait_for(lambda: stub.num_left == 1)
