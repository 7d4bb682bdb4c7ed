"""A server that rejects requests, ends early, sends nonsense or cannot be reached."""

import asyncio
import logging
import socket
import traceback
from contextlib import AsyncExitStack, aclosing

import httpx2
import pytest

from orpheus_server.chat.remote.model import MAX_ANSWERS
from orpheus_server.errors import ChatModelFailed, ChatModelUnavailable, Overloaded, RequestError
from tests.chat.remote.remote_model import (
    KEY,
    PROMPT,
    SHORT_SEC,
    asks,
    failure,
    open_model,
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
)

pytestmark = pytest.mark.anyio


REFUSED = "The language model's server rejected the request: status "
FAILED = "The language model's server failed: status "
AWAY = "The language model's server is full or unavailable: status "


class TestErrors:
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
        error = await failure(rejects(status, f"Not with {KEY}: {PROMPT}", code=code), stub)
        assert type(error) is ChatModelFailed
        assert str(error) == message
        assert warnings_in(caplog) == [
            f"request=req-1 llm=m host=127.0.0.1: {message} (status {status})"
        ]
        assert len(stub.requested) == 1

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    @pytest.mark.parametrize(
        ("header", "retry_after_sec"), [(None, 10), ("7", 7), ("0", 1), ("3600", 120), ("x", 10)]
    )
    async def test_unavailable(
        self, stub: StubLlm, status: int, header: str | None, retry_after_sec: int
    ) -> None:
        headers = {} if header is None else {"retry-after": header}
        error = await failure(rejects(status, headers=headers), stub)
        assert isinstance(error, ChatModelUnavailable)
        assert str(error) == f"{AWAY}{status}."
        assert error.retry_after_sec == retry_after_sec
        assert len(stub.requested) == 1

    @pytest.mark.parametrize(
        "responder",
        [
            rejects(400, "No.", code="context_length_exceeded", param="messages"),
            rejects(400, "This model's maximum context length is 4096 tokens.", code=400),
            rejects(400, "too large", type="exceed_context_size_error", code=400),
            rejects(500, "Context size has been exceeded.", code=500),
            events({"error": {"message": "No.", "code": "context_length_exceeded"}}),
        ],
    )
    async def test_too_long_for_the_model(self, stub: StubLlm, responder: Responder) -> None:
        error = await failure(responder, stub)
        assert isinstance(error, RequestError)
        assert (error.param, error.code) == ("messages", "context_length_exceeded")
        assert str(error) == "The conversation does not fit into the language model's context."

    @pytest.mark.parametrize("body", ["", "<html>", "[1]", "null", '{"error": "busy"}', "[" * 9999])
    async def test_bodies_of_any_shape(self, stub: StubLlm, body: str) -> None:
        async def responder(requested: StubRequest, response: StubResponse) -> None:
            response.json(403, body)

        assert str(await failure(responder, stub)) == f"{REFUSED}403."

    async def test_a_closed_port(self, caplog: pytest.LogCaptureFixture) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            async with open_model(f"http://127.0.0.1:{taken.getsockname()[1]}/v1") as model:
                with pytest.raises(ChatModelUnavailable) as caught:
                    await take(model)
        assert str(caught.value) == "The language model's server cannot be reached."
        assert caught.value.retry_after_sec == 10
        (line,) = warnings_in(caplog)
        assert line.startswith("request=req-1 llm=m host=127.0.0.1: The language model's server ")
        assert "(ConnectError: " in line

    async def test_no_such_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def look_up(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        async with open_model("http://nowhere.example/v1") as model:
            with pytest.raises(ChatModelUnavailable, match="cannot be reached"):
                await take(model)

    async def test_a_connection_that_is_never_accepted(self) -> None:
        """A full backlog drops packets, as firewalls do."""
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for other in (first, second):
                other.setblocking(False)
                other.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
            async with open_model(url, connect_timeout_sec=SHORT_SEC) as model:
                with pytest.raises(ChatModelUnavailable, match="cannot be reached"):
                    await take(model)

    async def test_too_many_at_once(self, stub: StubLlm) -> None:
        stub.default = hangs
        async with open_model(stub.url) as model, AsyncExitStack() as stack:
            tasks = [asyncio.create_task(take(model)) for _ in range(MAX_ANSWERS)]
            await wait_for(lambda: len(stub.requested) == MAX_ANSWERS)
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


BROKEN_OFF = "The language model's answer ended early."
NO_ANSWER = "The language model's server sent a response that is not a chat completion."


class TestEndedEarly:
    @pytest.mark.parametrize(
        ("responder", "message"),
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
                "The language model stopped with an error: code engine_dead.",
            ),
            (
                events(chunk("Hi"), {"error": {"message": PROMPT, "code": 500}}),
                "The language model stopped with an error.",
            ),
            (
                events(chunk("Hi"), {"error": f"{KEY} {PROMPT}"}),
                "The language model stopped with an error.",
            ),
        ],
    )
    async def test_ended_early(
        self, stub: StubLlm, responder: Responder, message: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = await failure(responder, stub)
        assert type(error) is ChatModelFailed
        assert str(error) == message
        (line,) = warnings_in(caplog)
        assert line.startswith(f"request=req-1 llm=m host=127.0.0.1: {message} (")
        assert PROMPT not in line
        assert KEY not in line

    async def test_text_before_the_error_is_kept(self, stub: StubLlm) -> None:
        gate = asyncio.Event()
        stub.responders.append(cuts(chunk("Hel"), chunk("lo"), gate=gate))
        async with open_model(stub.url) as model, aclosing(model.reply(asks())) as deltas:
            taken = [(await anext(deltas)).text, (await anext(deltas)).text]
            gate.set()
            with pytest.raises(ChatModelFailed, match="ended early"):
                await anext(deltas)
        assert taken == ["Hel", "lo"]

    async def test_neither_events_nor_a_completion(self, stub: StubLlm) -> None:
        async def page(requested: StubRequest, response: StubResponse) -> None:
            response.head(kind="text/html")
            response.raw(b"<html>Welcome</html>")
            response.end()

        assert str(await failure(page, stub)) == NO_ANSWER

    @pytest.mark.parametrize("body", ["{", "[]", '{"choices": []}', "\ud83d", "x" * (1 << 21)])
    async def test_not_a_completion(self, stub: StubLlm, body: str) -> None:
        async def responder(requested: StubRequest, response: StubResponse) -> None:
            response.head(kind="application/json; charset=utf-8")
            response.raw(body.encode("utf-8", "surrogatepass"))
            response.end()

        error = await failure(responder, stub)
        assert str(error) == NO_ANSWER

    async def test_an_idle_connection_that_was_closed(self, stub: StubLlm) -> None:
        """Such a request was not processed, but it failed although the server was up."""
        stub.responders += [cuts(), says("Hi")]
        async with open_model(stub.url) as model:
            assert [delta.text for delta in await take(model)] == ["Hi", ""]

    async def test_a_server_that_drops_every_connection(self, stub: StubLlm) -> None:
        stub.responders.append(cuts())
        error = await failure(cuts(), stub)
        assert isinstance(error, ChatModelUnavailable)
        assert len(stub.requested) == 2

    async def test_only_own_exceptions_are_raised(self, stub: StubLlm) -> None:
        """Every error belongs to this server's exception tree and has a cause."""
        error = await failure(cuts(chunk("Hi")), stub)
        assert isinstance(error.__cause__, httpx2.RemoteProtocolError)


class TestSecrets:
    @pytest.mark.parametrize(
        "responder",
        [
            rejects(
                401, f"Incorrect API key provided: {KEY}, for {PROMPT}", code="invalid_api_key"
            ),
            rejects(400, f"{PROMPT} {KEY}", code=KEY, param=KEY),
            events(chunk("Hi"), {"error": {"message": f"{PROMPT} {KEY}", "code": KEY}}),
            cuts(chunk("Hi")),
        ],
    )
    async def test_neither_key_nor_prompt_is_shown(
        self, stub: StubLlm, responder: Responder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not in the traceback either, which is logged for unexpected errors."""
        caplog.set_level(logging.DEBUG, logger="orpheus_server")
        for name in ("openai", "httpx2", "httpcore2"):
            caplog.set_level(logging.DEBUG, logger=name)
        error = await failure(responder, stub, llm_api_key=KEY)
        logged = "".join(traceback.format_exception(error)) + caplog.text
        assert KEY not in logged
        assert PROMPT not in logged
        assert stub.requested[0].headers["authorization"] == f"Bearer {KEY}"

    async def test_not_when_models_are_listed(self, stub: StubLlm) -> None:
        async with open_model(stub.url, llm_api_key=KEY) as model:
            assert KEY not in repr(model) + repr(vars(model)) + str(model.info)
