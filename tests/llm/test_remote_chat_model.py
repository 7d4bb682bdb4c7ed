"""A language model behind OpenAI's API, against a server that behaves as many kinds of them do."""

import asyncio
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import httpx2
import pytest

from orpheus_server.chat_choice import choose_chat
from orpheus_server.chat_parts import open_chat_model
from orpheus_server.engine.group import EngineRoom
from orpheus_server.errors import (
    ChatModelAway,
    ChatModelFailed,
    ChatModelTimedOut,
    OrpheusError,
    Overloaded,
    RequestError,
    StartError,
)
from orpheus_server.interfaces import (
    ChatMessage,
    ChatModelInfo,
    ReplyDelta,
    ReplyOptions,
    ReplyRequest,
)
from orpheus_server.llm.dialect import Dialect
from orpheus_server.llm.remote_chat_model import MAX_ANSWERS, RemoteChatModel
from orpheus_server.reply import open_reply
from orpheus_server.settings import Settings
from tests.support.app import other_tasks, wait_for
from tests.support.stub_llm import (
    Asked,
    Play,
    StubLlm,
    Wire,
    chunk,
    cuts,
    events,
    hangs,
    refuses,
    says,
    waits,
)

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-0123456789"
PROMPT = "A private question"
SHORT_SEC = 0.05

NO_SYSTEM = refuses(400, "System role not supported", type="BadRequestError", code=400)
NO_USAGE = refuses(400, "Unknown field: stream_options", type="invalid_request_error")
NO_MAX_TOKENS = refuses(
    400,
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
    "'max_completion_tokens' instead.",
    type="invalid_request_error",
    param="max_tokens",
    code="unsupported_parameter",
)
END = (chunk(finish="stop"), "[DONE]")


@pytest.fixture
async def stub() -> AsyncIterator[StubLlm]:
    async with StubLlm() as stub:
        yield stub


def settings_for(url: str, **changes: object) -> Settings:
    given: dict[str, object] = {"llm_base_url": url, "llm_model_name": "m", **changes}
    return Settings.model_validate(given)


@asynccontextmanager
async def open_model(
    url: str,
    *,
    connect_timeout_sec: float = 5.0,
    look_timeout_sec: float = 5.0,
    tail_sec: float = 5.0,
    **changes: object,
) -> AsyncIterator[RemoteChatModel]:
    settings = settings_for(url, **changes)
    choice = choose_chat(settings, has_cuda=False)
    assert choice is not None
    model = RemoteChatModel(
        choice.info,
        settings,
        connect_timeout_sec=connect_timeout_sec,
        look_timeout_sec=look_timeout_sec,
        tail_sec=tail_sec,
    )
    before = other_tasks()
    try:
        yield model
    finally:
        assert model.num_active == 0
        await model.close()
    await wait_for(lambda: other_tasks() <= before)


def asks(*contents: str, system: str | None = None, **options: object) -> ReplyRequest:
    """Turns of the user and the assistant."""
    turns = [
        ChatMessage("assistant" if index % 2 else "user", content)
        for index, content in enumerate(contents or (PROMPT,))
    ]
    if system is not None:
        turns.insert(0, ChatMessage("system", system))
    return ReplyRequest("req-1", tuple(turns), ReplyOptions(**options))  # type: ignore[arg-type]


async def take(model: RemoteChatModel, request: ReplyRequest | None = None) -> list[ReplyDelta]:
    return [delta async for delta in model.reply(request or asks())]


async def answer(play: Play, stub: StubLlm, **changes: object) -> list[ReplyDelta]:
    """What one answer is made into."""
    stub.plays.append(play)
    async with open_model(stub.url, **changes) as model:  # type: ignore[arg-type]
        return await take(model)


async def failure(play: Play, stub: StubLlm, **changes: object) -> OrpheusError:
    with pytest.raises(OrpheusError) as caught:
        await answer(play, stub, **changes)
    return caught.value


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class TestAnswer:
    async def test_deltas_and_counts(self, stub: StubLlm) -> None:
        """The last one carries what the server counted more than there were chunks."""
        assert await answer(says("Hel", "lo", counts=(5, 7)), stub) == [
            ReplyDelta("Hel", 1),
            ReplyDelta("lo", 1),
            ReplyDelta("", 5, "stop", 5),
        ]

    async def test_without_counts_a_chunk_is_a_token(self, stub: StubLlm) -> None:
        assert await answer(says("Hel", "lo", counts=None), stub) == [
            ReplyDelta("Hel", 1),
            ReplyDelta("lo", 1),
            ReplyDelta("", 0, "stop"),
        ]

    async def test_fewer_tokens_than_chunks_are_not_taken_back(self, stub: StubLlm) -> None:
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
    async def test_how_it_ends(self, stub: StubLlm, finish: str, reason: str) -> None:
        deltas = await answer(says("Hi", finish=finish), stub)
        assert [delta.finish_reason for delta in deltas] == [None, reason]

    async def test_nothing_is_an_answer_too(self, stub: StubLlm) -> None:
        assert await answer(says(counts=(5, 0)), stub) == [ReplyDelta("", 0, "stop", 5)]

    async def test_chunks_that_say_nothing(self, stub: StubLlm) -> None:
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

    async def test_thoughts_are_tokens_and_no_text(self, stub: StubLlm) -> None:
        """They keep the time limit between two tokens from ending an answer that is coming."""
        thoughts = (chunk(None, reasoning_content="Hm"), chunk("", reasoning="Well"))
        assert await answer(events(*thoughts, chunk("Hi"), *END), stub) == [
            ReplyDelta("", 1),
            ReplyDelta("", 1),
            ReplyDelta("Hi", 1),
            ReplyDelta("", 0, "stop"),
        ]

    async def test_thoughts_within_the_text(self, stub: StubLlm) -> None:
        deltas = await answer(says("<thi", "nk>Hm", "</think>\n", "\nHi", counts=None), stub)
        assert "".join(delta.text for delta in deltas) == "Hi"
        assert sum(delta.num_tokens for delta in deltas) == 4

    async def test_characters_in_two_halves(self, stub: StubLlm) -> None:
        """JSON of some servers escapes each half alone, and half a character cannot be encoded."""
        deltas = await answer(events(chunk("a\ud83d"), chunk("\ude00"), *END), stub)
        assert [delta.text for delta in deltas] == ["a", "\U0001f600", ""]

    async def test_half_a_character_at_the_end(self, stub: StubLlm) -> None:
        deltas = await answer(events(chunk("a\ud83d"), *END), stub)
        assert [delta.text for delta in deltas] == ["a", "\ufffd"]

    async def test_a_server_that_does_not_stream(self, stub: StubLlm) -> None:
        message = {"role": "assistant", "content": "Hello there"}
        whole = {
            "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 4, "completion_tokens": 2},
        }

        async def play(asked: Asked, wire: Wire) -> None:
            wire.json(200, whole)

        deltas = await answer(play, stub)
        assert deltas == [ReplyDelta("Hello there", 1), ReplyDelta("", 1, "length", 4)]

    async def test_the_counts_are_not_waited_for_without_end(self, stub: StubLlm) -> None:
        """The answer is complete when it says so: a server that hangs then delays its last words
        only so long.
        """
        said = [chunk("Hi"), chunk(finish="stop")]
        deltas = await answer(waits(asyncio.Event(), said), stub, tail_sec=SHORT_SEC)
        assert deltas == [ReplyDelta("Hi", 1), ReplyDelta("", 0, "stop")]

    @pytest.mark.parametrize(
        "play",
        [
            cuts(chunk("Hi"), chunk(finish="stop")),
            events(chunk("Hi"), chunk(finish="stop"), {"error": {"message": "late"}}),
            events(chunk("Hi"), chunk(finish="stop"), "{"),
        ],
    )
    async def test_what_goes_wrong_behind_the_end(self, stub: StubLlm, play: Play) -> None:
        deltas = await answer(play, stub)
        assert deltas == [ReplyDelta("Hi", 1), ReplyDelta("", 0, "stop")]

    async def test_one_connection_for_one_answer_after_the_other(self, stub: StubLlm) -> None:
        async with open_model(stub.url) as model:
            for _ in range(3):
                await take(model)
        assert stub.num_connections == 1


class TestWhatIsSent:
    async def test_only_what_was_asked_for(self, stub: StubLlm) -> None:
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
                # 2048, less 3 + 6 for the system prompt and 1 + 6 for the message.
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

    async def test_the_oldest_are_left_out(self, stub: StubLlm) -> None:
        # 106 tokens each; 512 tokens of which half are kept free leave room for two.
        request = asks("a" * 300, "b" * 300, "c" * 300, "d" * 300, "e" * 300)
        async with open_model(stub.url, llm_max_model_len=512) as model:
            await take(model, request)
        assert [each["content"][0] for each in stub.bodies[0]["messages"]] == ["e"]
        assert stub.bodies[0]["max_tokens"] == 512 - 106

    async def test_a_message_without_room_is_not_sent(
        self, stub: StubLlm, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with open_model(stub.url, llm_max_model_len=512) as model:
            with pytest.raises(RequestError) as caught:
                await take(model, asks("a" * 3000))
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
        assert stub.asked == []
        assert warnings_in(caplog) == []

    @pytest.mark.parametrize(("key", "shown"), [(KEY, f"Bearer {KEY}"), (None, "Bearer none")])
    async def test_nothing_of_the_environment(
        self,
        stub: StubLlm,
        monkeypatch: pytest.MonkeyPatch,
        key: str | None,
        shown: str,
    ) -> None:
        """The SDK finds keys there, an organization, a project, headers and a proxy: they are meant
        for another server.
        """
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
        assert dict(stub.looks[0].headers) == body
        sent = dict(stub.asked[0].headers)
        del sent["content-length"]
        assert sent == {**body, "content-type": "application/json"}
        assert stub.asked[0].path == "/v1/chat/completions"

    async def test_no_redirect_is_followed(self, stub: StubLlm) -> None:
        """The conversation would go to a server that nobody has named."""

        async def play(asked: Asked, wire: Wire) -> None:
            wire.json(307, {}, headers={"location": f"{stub.url}/elsewhere"})

        error = await failure(play, stub)
        assert isinstance(error, ChatModelFailed)
        assert str(error) == "The language model's server refused the request: status 307."
        assert len(stub.asked) == 1


class TestDialects:
    @pytest.mark.parametrize(
        ("refusal", "dialect"),
        [
            (NO_USAGE, Dialect(tells_usage=False)),
            (NO_MAX_TOKENS, Dialect(token_limit="max_completion_tokens")),
            (NO_SYSTEM, Dialect(has_system_role=False)),
        ],
    )
    async def test_asked_once_more_and_remembered(
        self, stub: StubLlm, refusal: Play, dialect: Dialect, caplog: pytest.LogCaptureFixture
    ) -> None:
        request = asks("Hi", system="Be short.", max_tokens=9)
        stub.plays.append(refusal)
        async with open_model(stub.url) as model:
            for _ in range(2):
                assert [delta.text for delta in await take(model, request)] == ["Hello", ".", ""]
        system = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
        folded = [{"role": "user", "content": "Be short.\n\nHi"}]
        first = {"model": "m", "messages": system, "stream": True, "max_tokens": 9}
        first["stream_options"] = {"include_usage": True}
        second = {"model": "m", "stream": True, dialect.token_limit: 9}
        second["messages"] = system if dialect.has_system_role else folded
        if dialect.tells_usage:
            second["stream_options"] = {"include_usage": True}
        assert stub.bodies == [first, second, second]
        assert warnings_in(caplog) == []

    async def test_all_of_them_one_after_the_other(self, stub: StubLlm) -> None:
        stub.plays += [NO_SYSTEM, NO_MAX_TOKENS, NO_USAGE]
        async with open_model(stub.url) as model:
            await take(model, asks("Hi", system="Be short.", max_tokens=9))
        assert stub.bodies[-1] == {
            "model": "m",
            "messages": [{"role": "user", "content": "Be short.\n\nHi"}],
            "stream": True,
            "max_completion_tokens": 9,
        }

    async def test_refused_again(self, stub: StubLlm) -> None:
        """What did not help is forgotten: something else was wrong."""
        stub.plays += [NO_SYSTEM, NO_SYSTEM]
        async with open_model(stub.url) as model:
            with pytest.raises(ChatModelFailed, match=r"^The .* request: status 400\.$"):
                await take(model, asks("Hi", system="Be short."))
            await take(model, asks("Hi", system="Be short."))
        assert [len(body["messages"]) for body in stub.bodies] == [2, 1, 2]

    @pytest.mark.parametrize(
        "message",
        [
            "max_tokens=4096 cannot be greater than max_model_len=2048.",
            "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum "
            "context length is 2048 tokens and your request has 30 input tokens",
        ],
    )
    async def test_an_answer_that_may_not_be_as_long(self, stub: StubLlm, message: str) -> None:
        """LLM_MAX_MODEL_LEN was more than the model has, and every answer failed."""
        stub.plays.append(refuses(400, message, code=400))
        async with open_model(stub.url, llm_max_model_len=100_000) as model:
            await take(model)
            await take(model, asks(max_tokens=50))
        assert [body.get("max_tokens") for body in stub.bodies] == [4096, None, 50]

    async def test_a_conversation_that_is_too_long_anyway(self, stub: StubLlm) -> None:
        too_long = refuses(400, "maximum context length", code=400)
        stub.plays += [refuses(400, "max_tokens=9 is too large", code=400), too_long]
        async with open_model(stub.url) as model:
            with pytest.raises(RequestError):
                await take(model)
        assert [body.get("max_tokens") for body in stub.bodies] == [2036, None]

    async def test_two_at_once_learn_different_things(self, stub: StubLlm) -> None:
        stub.plays += [NO_USAGE, NO_SYSTEM]
        request = asks("Hi", system="Be short.")
        async with open_model(stub.url) as model:
            await asyncio.gather(take(model, request), take(model, request))
            await take(model, request)
        assert len(stub.bodies) == 5
        assert "stream_options" not in stub.bodies[-1]
        assert len(stub.bodies[-1]["messages"]) == 1


REFUSED = "The language model's server refused the request: status "
FAILED = "The language model's server failed: status "
AWAY = "The language model's server is full or away: status "


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "code", "message"),
        [
            (400, None, f"{REFUSED}400."),
            (400, "invalid_value", f"{REFUSED}400, code invalid_value."),
            (401, "invalid_api_key", f"{REFUSED}401, code invalid_api_key."),
            (403, None, f"{REFUSED}403."),
            (404, "model_not_found", f"{REFUSED}404, code model_not_found."),
            (409, None, f"{REFUSED}409."),
            (413, None, f"{REFUSED}413."),
            (422, None, f"{REFUSED}422."),
            (500, "boom", f"{FAILED}500, code boom."),
            (501, None, f"{FAILED}501."),
        ],
    )
    async def test_failed(
        self,
        stub: StubLlm,
        status: int,
        code: str | None,
        message: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        error = await failure(refuses(status, f"Not with {KEY}: {PROMPT}", code=code), stub)
        assert type(error) is ChatModelFailed
        assert str(error) == message
        assert warnings_in(caplog) == [
            f"request=req-1 llm=m host=127.0.0.1: {message} (status {status})"
        ]
        assert len(stub.asked) == 1

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    @pytest.mark.parametrize(
        ("header", "retry_after_sec"), [(None, 10), ("7", 7), ("0", 1), ("3600", 120), ("x", 10)]
    )
    async def test_away(
        self, stub: StubLlm, status: int, header: str | None, retry_after_sec: int
    ) -> None:
        headers = {} if header is None else {"retry-after": header}
        error = await failure(refuses(status, headers=headers), stub)
        assert isinstance(error, ChatModelAway)
        assert str(error) == f"{AWAY}{status}."
        assert error.retry_after_sec == retry_after_sec
        assert len(stub.asked) == 1

    @pytest.mark.parametrize(
        "play",
        [
            refuses(400, "No.", code="context_length_exceeded", param="messages"),
            refuses(400, "This model's maximum context length is 4096 tokens.", code=400),
            refuses(400, "too large", type="exceed_context_size_error", code=400),
            refuses(500, "Context size has been exceeded.", code=500),
            events({"error": {"message": "No.", "code": "context_length_exceeded"}}),
        ],
    )
    async def test_too_long_for_the_model(self, stub: StubLlm, play: Play) -> None:
        error = await failure(play, stub)
        assert isinstance(error, RequestError)
        assert (error.param, error.code) == ("messages", "context_length_exceeded")
        assert str(error) == "The conversation is longer than the language model has room for."

    @pytest.mark.parametrize("body", ["", "<html>", "[1]", "null", '{"error": "busy"}', "[" * 9999])
    async def test_bodies_of_any_shape(self, stub: StubLlm, body: str) -> None:
        async def play(asked: Asked, wire: Wire) -> None:
            wire.json(403, body)

        assert str(await failure(play, stub)) == f"{REFUSED}403."

    async def test_nobody_listens(self, caplog: pytest.LogCaptureFixture) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            async with open_model(f"http://127.0.0.1:{taken.getsockname()[1]}/v1") as model:
                with pytest.raises(ChatModelAway) as caught:
                    await take(model)
        assert str(caught.value) == "The language model's server does not answer."
        assert caught.value.retry_after_sec == 10
        (line,) = warnings_in(caplog)
        assert line.startswith("request=req-1 llm=m host=127.0.0.1: The language model's server ")
        assert "(ConnectError: " in line

    async def test_no_such_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def look_up(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        async with open_model("http://nowhere.example/v1") as model:
            with pytest.raises(ChatModelAway, match="does not answer"):
                await take(model)

    async def test_a_connection_that_does_not_come_about(self) -> None:
        """Packets are dropped by a full backlog as by many a firewall."""
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for other in (first, second):
                other.setblocking(False)
                other.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
            async with open_model(url, connect_timeout_sec=SHORT_SEC) as model:
                with pytest.raises(ChatModelAway, match="does not answer"):
                    await take(model)

    async def test_too_many_at_once(self, stub: StubLlm) -> None:
        stub.default = hangs
        async with open_model(stub.url) as model, AsyncExitStack() as stack:
            tasks = [asyncio.create_task(take(model)) for _ in range(MAX_ANSWERS)]
            await wait_for(lambda: len(stub.asked) == MAX_ANSWERS)
            assert model.num_active == MAX_ANSWERS
            with pytest.raises(Overloaded) as caught:
                await take(model)
            assert caught.value.retry_after_sec == 5
            assert stub.num_connections == MAX_ANSWERS
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            stack.pop_all()
        await wait_for(lambda: stub.num_left == MAX_ANSWERS)


BROKEN_OFF = "The language model broke off in the middle of its answer."
NO_ANSWER = "The language model's server sent something that is no chat completion."


class TestBrokenOff:
    @pytest.mark.parametrize(
        ("play", "message"),
        [
            (cuts(chunk("Hi")), BROKEN_OFF),
            (events(chunk("Hi")), BROKEN_OFF),
            (events(chunk("Hi"), is_chunked=False), BROKEN_OFF),
            (events(chunk(None)), BROKEN_OFF),
            (events(), NO_ANSWER),
            (events(chunk("Hi"), "{"), NO_ANSWER),
            (events(chunk("Hi"), "[]"), NO_ANSWER),
            (events(chunk("Hi"), "[" * 100_000), NO_ANSWER),
            (events(chunk("Hi"), "x" * (1 << 21)), NO_ANSWER),
            (
                events(
                    chunk("Hi"), {"error": {"message": f"{KEY} {PROMPT}", "code": "engine_dead"}}
                ),
                "The language model broke off with an error: code engine_dead.",
            ),
            (
                events(chunk("Hi"), {"error": {"message": PROMPT, "code": 500}}),
                "The language model broke off with an error.",
            ),
            (
                events(chunk("Hi"), {"error": f"{KEY} {PROMPT}"}),
                "The language model broke off with an error.",
            ),
        ],
    )
    async def test_broken_off(
        self, stub: StubLlm, play: Play, message: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = await failure(play, stub)
        assert type(error) is ChatModelFailed
        assert str(error) == message
        (line,) = warnings_in(caplog)
        assert line.startswith(f"request=req-1 llm=m host=127.0.0.1: {message} (")
        assert PROMPT not in line
        assert KEY not in line

    async def test_what_came_before_it_is_kept(self, stub: StubLlm) -> None:
        gate = asyncio.Event()
        stub.plays.append(cuts(chunk("Hel"), chunk("lo"), gate=gate))
        async with open_model(stub.url) as model, aclosing(model.reply(asks())) as deltas:
            taken = [(await anext(deltas)).text, (await anext(deltas)).text]
            gate.set()
            with pytest.raises(ChatModelFailed, match="broke off"):
                await anext(deltas)
        assert taken == ["Hel", "lo"]

    async def test_no_event_stream_and_no_completion(self, stub: StubLlm) -> None:
        async def page(asked: Asked, wire: Wire) -> None:
            wire.head(kind="text/html")
            wire.raw(b"<html>Welcome</html>")
            wire.end()

        assert str(await failure(page, stub)) == NO_ANSWER

    @pytest.mark.parametrize("body", ["{", "[]", '{"choices": []}', "\ud83d", "x" * (1 << 21)])
    async def test_no_completion(self, stub: StubLlm, body: str) -> None:
        async def play(asked: Asked, wire: Wire) -> None:
            wire.head(kind="application/json; charset=utf-8")
            wire.raw(body.encode("utf-8", "surrogatepass"))
            wire.end()

        error = await failure(play, stub)
        assert str(error) == NO_ANSWER

    async def test_an_idle_connection_that_was_closed(self, stub: StubLlm) -> None:
        """Such a request reaches nobody; it failed although the server was there."""
        stub.plays += [cuts(), says("Hi")]
        async with open_model(stub.url) as model:
            assert [delta.text for delta in await take(model)] == ["Hi", ""]

    async def test_a_server_that_drops_every_connection(self, stub: StubLlm) -> None:
        stub.plays.append(cuts())
        error = await failure(cuts(), stub)
        assert isinstance(error, ChatModelAway)
        assert len(stub.asked) == 2

    async def test_nothing_foreign_gets_out(self, stub: StubLlm) -> None:
        """Whatever is raised is of this server's tree, and tells where it came from."""
        error = await failure(cuts(chunk("Hi")), stub)
        assert isinstance(error.__cause__, httpx2.RemoteProtocolError)


class TestSecrets:
    @pytest.mark.parametrize(
        "play",
        [
            refuses(
                401, f"Incorrect API key provided: {KEY}, for {PROMPT}", code="invalid_api_key"
            ),
            refuses(400, f"{PROMPT} {KEY}", code=KEY, param=KEY),
            events(chunk("Hi"), {"error": {"message": f"{PROMPT} {KEY}", "code": KEY}}),
            cuts(chunk("Hi")),
        ],
    )
    async def test_neither_key_nor_prompt_is_told(
        self, stub: StubLlm, play: Play, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not in the traceback either, which is logged where nobody expected the error."""
        caplog.set_level(logging.DEBUG, logger="orpheus_server")
        for name in ("openai", "httpx2", "httpcore2"):
            caplog.set_level(logging.DEBUG, logger=name)
        error = await failure(play, stub, llm_api_key=KEY)
        told = "".join(traceback.format_exception(error)) + caplog.text
        assert KEY not in told
        assert PROMPT not in told
        assert stub.asked[0].headers["authorization"] == f"Bearer {KEY}"

    async def test_not_in_its_looks(self, stub: StubLlm) -> None:
        async with open_model(stub.url, llm_api_key=KEY) as model:
            assert KEY not in repr(model) + repr(vars(model)) + str(model.info)


class TestLeaving:
    @pytest.mark.parametrize("before", [(), (chunk("Hi"),)])
    async def test_a_cancelled_caller_closes_the_connection(
        self, stub: StubLlm, before: tuple[object, ...]
    ) -> None:
        stub.plays.append(waits(asyncio.Event(), before))
        async with open_model(stub.url) as model:
            task = asyncio.create_task(take(model))
            await wait_for(lambda: stub.num_running == 1)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await wait_for(lambda: stub.num_running == 0)
            assert stub.num_left == 1
            assert model.num_active == 0
            # The connection is gone from the pool too, and the next one is answered.
            assert [delta.text for delta in await take(model)] == ["Hello", ".", ""]

    async def test_a_closed_generator_closes_the_connection(self, stub: StubLlm) -> None:
        stub.plays.append(waits(asyncio.Event(), [chunk("Hi")]))
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

    async def test_a_model_that_is_not(
        self, stub: StubLlm, caplog: pytest.LogCaptureFixture
    ) -> None:
        stub.model_names = ["other", "another"]
        async with open_model(stub.url) as model:
            await model.look()
        assert warnings_in(caplog) == [
            "the language model's server at 127.0.0.1 lists 2 models and no 'm': check "
            "LLM_MODEL_NAME"
        ]

    @pytest.mark.parametrize(("room", "max_tokens"), [(1000, 987), (100_000, 2035), (None, 2035)])
    async def test_the_room_of_the_model(
        self, stub: StubLlm, room: int | None, max_tokens: int
    ) -> None:
        """LLM_MAX_MODEL_LEN is 2048, and the message takes 13."""
        stub.max_model_len = room
        async with open_model(stub.url) as model:
            await model.look()
            await take(model, asks("x" * 21))
        assert stub.bodies[0]["max_tokens"] == max_tokens

    @pytest.mark.parametrize(
        ("play", "cause"),
        [
            (refuses(401, f"No: {KEY}"), "status 401"),
            (refuses(404), "status 404"),
            (hangs, "TimeoutError"),
            (cuts(), "RemoteProtocolError"),
            (events(), "ValueError"),
        ],
    )
    async def test_no_list(
        self, stub: StubLlm, play: Play, cause: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        stub.models = play
        limit_sec = SHORT_SEC if play is hangs else 5.0
        async with open_model(stub.url, look_timeout_sec=limit_sec, llm_api_key=KEY) as model:
            await model.look()
        assert warnings_in(caplog) == [
            f"the language model's server at 127.0.0.1 does not list its models ({cause}): check "
            "that it runs, LLM_BASE_URL, which mostly ends in /v1, and LLM_API_KEY"
        ]

    async def test_opened_with_the_server(self, stub: StubLlm) -> None:
        settings = settings_for(stub.url, llm_model_name="gemma2:2b")
        stub.model_names = ["gemma2:2b"]
        choice = choose_chat(settings, has_cuda=False)
        assert choice is not None
        async with AsyncExitStack() as stack:
            model = await open_chat_model(
                choice, settings, stack, is_cuda=False, room=EngineRoom(), on_give_up=pytest.fail
            )
            assert len(stub.looks) == 1
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

    def test_an_address_that_the_client_refuses(self) -> None:
        settings = settings_for("http://999.1.1.1/v1")
        with pytest.raises(StartError, match="^LLM_BASE_URL="):
            RemoteChatModel(ChatModelInfo("m", "server"), settings)


@asynccontextmanager
async def replying(
    stub: StubLlm, play: Play, *, timeout_sec: float = 5.0, stop: tuple[str, ...] = ()
) -> AsyncIterator[tuple[list[str], Callable[[], OrpheusError | None]]]:
    """What the reader of an answer gets, and how it ends for it."""
    stub.plays.append(play)
    texts: list[str] = []
    ended: list[OrpheusError | None] = []
    async with open_model(stub.url) as model:
        request = asks(stop=stop)
        async with open_reply(model, request, speech=None, timeout_sec=timeout_sec) as reply:
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
        # The token that comes must have the time to.
        [((), [], SHORT_SEC), ((chunk("Hi"),), ["Hi"], 0.5)],
        ids=["first", "next"],
    )
    async def test_a_token_that_does_not_come(
        self, stub: StubLlm, before: tuple[object, ...], texts: list[str], limit_sec: float
    ) -> None:
        play = waits(asyncio.Event(), before)
        async with replying(stub, play, timeout_sec=limit_sec) as (taken, ended):
            error = ended()
            assert isinstance(error, ChatModelTimedOut)
            assert str(error) == (
                f"The language model wrote nothing for {limit_sec:g} s, which is the limit."
            )
            assert taken == texts
            # On a busy machine the time may be over before anything was asked.
            await wait_for(lambda: stub.num_left == len(stub.asked))

    async def test_broken_off(self, stub: StubLlm) -> None:
        async with replying(stub, cuts(chunk("Hel"))) as (texts, ended):
            assert texts == ["Hel"]
            assert isinstance(ended(), ChatModelFailed)

    async def test_refused(self, stub: StubLlm) -> None:
        async with replying(stub, refuses(429, headers={"retry-after": "3"})) as (texts, ended):
            error = ended()
            assert isinstance(error, ChatModelAway)
            assert (texts, error.retry_after_sec) == ([], 3)

    async def test_a_stop_string_ends_the_model_too(self, stub: StubLlm) -> None:
        """It is sent, and a server that does not know it is stopped from here."""
        play = waits(asyncio.Event(), [chunk("One END two")])
        async with replying(stub, play, stop=("END",)) as (texts, ended):
            assert (texts, ended()) == (["One "], None)
            assert stub.bodies[0]["stop"] == ["END"]
            await wait_for(lambda: stub.num_left == 1)

    async def test_whoever_leaves_stops_the_model(self, stub: StubLlm) -> None:
        stub.plays.append(waits(asyncio.Event(), [chunk("Hi")]))
        async with open_model(stub.url) as model:
            async with open_reply(model, asks(), speech=None, timeout_sec=5.0) as reply:
                deltas = reply.deltas()
                assert await anext(deltas) == "Hi"
                await deltas.aclose()
            assert model.num_active == 0
            await wait_for(lambda: stub.num_left == 1)
