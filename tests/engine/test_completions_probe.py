"""What answers at an address: dialect, context, BOS, and what is refused."""

import asyncio
from typing import Any

import pytest

from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.engine.completion_dialects import Dialect
from orpheus_server.engine.completions_probe import (
    NotAnswering,
    Probe,
    ServerInfo,
    name_of,
    root_of,
    vocabulary_of,
)
from orpheus_server.errors import StartError
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from orpheus_server.synthesis.prompts import load_tokenizer
from tests.support.app import POCKET
from tests.support.completion_stub import CompletionStub
from tests.support.completions_bench import speaking

pytestmark = pytest.mark.anyio

VOCABULARY = vocabulary_of(POCKET, load_tokenizer(POCKET_FOLDER))


async def look(stub: CompletionStub, *, key: str | None = None) -> ServerInfo:
    async with stub.serve() as served:
        return await asyncio.to_thread(Probe(served.url, key, VOCABULARY).look)


@pytest.mark.parametrize(
    ("url", "root", "name"),
    [
        ("http://h:1", "http://h:1", "http://h:1"),
        ("http://h:1/v1", "http://h:1", "http://h:1"),
        ("http://a:secret@h:1/x/v1/", "http://a:secret@h:1/x", "http://h:1/x"),
    ],
)
def test_addresses(url: str, root: str, name: str) -> None:
    assert (root_of(url), name_of(url)) == (root, name)


async def test_llama_server() -> None:
    info = await look(speaking(num_slots=3, context_tokens=4096))
    assert info == ServerInfo(Dialect("llama-server"), 4096, 3)
    assert info.describe() == "llama-server API, 3 slots, context 4096"


async def test_vllm() -> None:
    info = await look(speaking("vLLM", context_tokens=1024))
    assert info == ServerInfo(Dialect("vLLM", "pocket"), 1024)
    assert (info.max_model_len(8192), info.max_model_len(700)) == (1024, 700)


@pytest.mark.parametrize("num_added", [0, 1, 2])
async def test_the_bos_of_a_text_is_counted(num_added: int) -> None:
    stub = speaking("text", num_added_tokens=num_added)
    info = await look(stub)
    assert info == ServerInfo(Dialect("text", "pocket"), num_added_tokens=num_added)
    assert info.max_model_len(8192) == 8192 - num_added
    assert stub.seen[-1].body["prompt"].startswith("<bos> rms:")


async def test_a_text_server_without_counts_is_taken_to_add_a_bos() -> None:
    stub = speaking("text")
    stub.path_answers["/v1/completions"] = (200, {"choices": [{"text": "<custom_token_10>"}]})
    assert (await look(stub)).num_added_tokens == 1


async def test_a_server_that_accepts_only_the_fields_of_openai() -> None:
    stub = speaking("text")

    class Strict(CompletionStub):
        async def respond(self, requested: Any, response: Any) -> None:
            if "repeat_penalty" in requested.body:
                response.json(400, {"error": {"message": "unknown field repeat_penalty"}})
            else:
                await stub.respond(requested, response)

    info = await look(Strict(stub.default))
    assert info.dialect == Dialect("text", "pocket", has_extras=False)


@pytest.mark.parametrize("dialect", ["llama-server", "vLLM"])
async def test_a_version_that_returns_no_ids_is_used_with_text(dialect: str) -> None:
    stub = speaking(dialect, num_added_tokens=1)
    text = {"choices": [{"text": "<custom_token_10>"}], "usage": {"prompt_tokens": 6}}
    stub.path_answers |= {"/completion": (200, {"content": ""}), "/v1/completions": (200, text)}
    num_sample = len(VOCABULARY.sample)
    text["usage"] = {"prompt_tokens": num_sample + 1}
    assert (await look(stub)).dialect.name == "text"


async def test_the_key_is_sent_everywhere() -> None:
    stub = speaking("vLLM")
    await look(stub, key="sk-1")
    assert stub.seen
    assert {each.headers["authorization"] for each in stub.seen} == {"Bearer sk-1"}


@pytest.mark.parametrize(
    ("changes", "answers", "message"),
    [
        ({}, {"/props": (401, {})}, "rejects the API key with status 401: check TTS_COMPLETIONS_A"),
        ({"dialect": "text"}, {"/v1/models": (403, {})}, "rejects the API key with status 403"),
        ({"dialect": "text"}, {"/v1/models": (404, "Not found")}, "not a server of completions"),
        ({"dialect": "text"}, {"/v1/models": (200, "<html></html>")}, "not a server of compl"),
        ({"dialect": "text"}, {"/v1/models": (200, [1])}, "not a server of completions"),
        ({"dialect": "text"}, {"/v1/models": (200, {"object": "x"})}, "not a server of compl"),
        ({"dialect": "text"}, {"/v1/completions": (404, {})}, "not a server of completions"),
        ({"dialect": "text"}, {"/v1/models": (200, {"data": []})}, "lists 0 models"),
        (
            {"dialect": "text"},
            {"/v1/models": (200, {"data": [{"id": "a"}, {"id": "b"}]})},
            "lists 2 models, and 2 of them may be pocket: let it serve only one",
        ),
        ({"context_tokens": 511}, {}, "a context of 511 tokens per generation.*--parallel"),
        ({"dialect": "vLLM", "context_tokens": 100}, {}, "a context of 100 tokens"),
        ({"tokens": {"<bos>": 9}}, {}, "does not have the vocabulary of pocket: <bos> is .9. ther"),
        ({"dialect": "vLLM", "tokens": {}}, {}, "does not have the vocabulary of pocket: <bos> is"),
        ({}, {"/tokenize": (200, {"tokens": list(range(9))})}, "is .0, 1, 2. there"),
        ({}, {"/completion": (400, {"error": "invalid tokens"})}, "rejects a prompt of the check"),
        (
            {"dialect": "vLLM"},
            {"/v1/completions": (400, {"error": "Token id 991 is out of vocabulary"})},
            "rejects a prompt of the checkpoint's ids",
        ),
        ({"probe_ids": (992,)}, {}, "it generated 992, and the vocabulary has 992"),
        ({"dialect": "vLLM", "probe_ids": (128_266,)}, {}, "it generated 128266"),
        ({"dialect": "text", "probe_ids": (5000,)}, {}, "it generated 5000"),
        ({"dialect": "text", "num_added_tokens": 25}, {}, "counts 29 tokens in a prompt of 4, or"),
        ({"dialect": "text", "num_added_tokens": -1}, {}, "counts 3 tokens in a prompt of 4"),
        ({"dialect": "text", "probe_ids": ()}, {}, "writes text and not <custom_token_N>"),
    ],
)
async def test_what_is_refused(
    changes: dict[str, Any], answers: dict[str, tuple[int, object]], message: str
) -> None:
    stub = speaking(**changes)
    stub.path_answers |= answers
    with pytest.raises(StartError, match=message) as raised:
        await look(stub)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("path", ["/props", "/v1/models", "/completion"])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_is_loading_or_full(path: str, status: int) -> None:
    stub = speaking("text" if path == "/v1/models" else "llama-server")
    stub.path_answers[path] = (status, {"error": {"message": "Loading model"}})
    with pytest.raises(NotAnswering, match=f"answers {path} with status {status}"):
        await look(stub)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["x"], "x"),
        (["a", "pocket"], "pocket"),
        (["a", "POCKET-q8.gguf"], "POCKET-q8.gguf"),
        (["a", "lex-au/Orpheus-3b-FT-Q8_0.gguf"], "lex-au/Orpheus-3b-FT-Q8_0.gguf"),
    ],
)
async def test_the_model_in_a_list_of_several(names: list[str], chosen: str) -> None:
    """LM Studio and Ollama list everything that was downloaded."""
    stub = speaking("text")
    stub.path_answers["/v1/models"] = (200, {"data": [{"id": name} for name in names]})
    assert (await look(stub)).dialect.model == chosen


async def test_prompts_that_cannot_be_written_as_text() -> None:
    vocabulary = vocabulary_of(ENGLISH, load_tokenizer(POCKET_FOLDER))
    assert vocabulary.no_text is not None
    async with speaking("text").serve() as served:
        with pytest.raises(StartError, match="accepts no token ids, and the prompts of orpheus-3b"):
            await asyncio.to_thread(Probe(served.url, None, vocabulary).look)


async def test_an_address_that_is_not_one() -> None:
    with pytest.raises(StartError, match="TTS_COMPLETIONS_URL"):
        await asyncio.to_thread(Probe("http://h:x", None, VOCABULARY).look)
