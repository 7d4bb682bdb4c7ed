"""A request with a field that the server rejects is sent again without it."""

import asyncio

import pytest

from orpheus_server.chat.remote.dialect import Dialect
from orpheus_server.errors import ChatModelFailed, RequestError
from tests.chat.remote.remote_model import asks, open_model, take, warnings_in
from tests.support.stub_llm import Responder, StubLlm, rejects

pytestmark = pytest.mark.anyio


NO_SYSTEM = rejects(400, "System role not supported", type="BadRequestError", code=400)
NO_USAGE = rejects(400, "Unknown field: stream_options", type="invalid_request_error")
NO_MAX_TOKENS = rejects(
    400,
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
    "'max_completion_tokens' instead.",
    type="invalid_request_error",
    param="max_tokens",
    code="unsupported_parameter",
)


class TestDialects:
    @pytest.mark.parametrize(
        ("responder", "dialect"),
        [
            (NO_USAGE, Dialect(reports_usage=False)),
            (NO_MAX_TOKENS, Dialect(token_limit="max_completion_tokens")),
            (NO_SYSTEM, Dialect(has_system_role=False)),
        ],
    )
    async def test_a_retry_that_is_remembered(
        self,
        stub: StubLlm,
        responder: Responder,
        dialect: Dialect,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        request = asks("Hi", system="Be short.", max_tokens=9)
        stub.responders.append(responder)
        async with open_model(stub.url) as model:
            for _ in range(2):
                assert [delta.text for delta in await take(model, request)] == ["Hello", ".", ""]
        system = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
        folded = [{"role": "user", "content": "Be short.\n\nHi"}]
        first = {"model": "m", "messages": system, "stream": True, "max_tokens": 9}
        first["stream_options"] = {"include_usage": True}
        second = {"model": "m", "stream": True, dialect.token_limit: 9}
        second["messages"] = system if dialect.has_system_role else folded
        if dialect.reports_usage:
            second["stream_options"] = {"include_usage": True}
        assert stub.bodies == [first, second, second]
        assert warnings_in(caplog) == []

    async def test_all_dialects_in_a_row(self, stub: StubLlm) -> None:
        stub.responders += [NO_SYSTEM, NO_MAX_TOKENS, NO_USAGE]
        async with open_model(stub.url) as model:
            await take(model, asks("Hi", system="Be short.", max_tokens=9))
        assert stub.bodies[-1] == {
            "model": "m",
            "messages": [{"role": "user", "content": "Be short.\n\nHi"}],
            "stream": True,
            "max_completion_tokens": 9,
        }

    async def test_a_retry_that_fails_too(self, stub: StubLlm) -> None:
        """A dialect that did not help is not remembered."""
        stub.responders += [NO_SYSTEM, NO_SYSTEM]
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
    async def test_a_token_limit_that_is_too_large(self, stub: StubLlm, message: str) -> None:
        """LLM_MAX_MODEL_LEN exceeded the model's context, and every answer failed."""
        stub.responders.append(rejects(400, message, code=400))
        async with open_model(stub.url, llm_max_model_len=100_000) as model:
            await take(model)
            await take(model, asks(max_tokens=50))
        assert [body.get("max_tokens") for body in stub.bodies] == [4096, None, 50]

    async def test_a_conversation_that_is_too_long_anyway(self, stub: StubLlm) -> None:
        too_long = rejects(400, "maximum context length", code=400)
        stub.responders += [rejects(400, "max_tokens=9 is too large", code=400), too_long]
        async with open_model(stub.url) as model:
            with pytest.raises(RequestError):
                await take(model)
        assert [body.get("max_tokens") for body in stub.bodies] == [2036, None]

    async def test_two_requests_learn_different_dialects(self, stub: StubLlm) -> None:
        stub.responders += [NO_USAGE, NO_SYSTEM]
        request = asks("Hi", system="Be short.")
        async with open_model(stub.url) as model:
            await asyncio.gather(take(model, request), take(model, request))
            await take(model, request)
        assert len(stub.bodies) == 5
        assert "stream_options" not in stub.bodies[-1]
        assert len(stub.bodies[-1]["messages"]) == 1
