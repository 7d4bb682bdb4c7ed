"""Bodies of requests in each dialect, and events of each."""

import json
from dataclasses import replace
from typing import Any

import pytest

from orpheus_server.engine.completion_dialects import (
    Dialect,
    DialectName,
    EventReader,
    ServerFailed,
    StopTokens,
)
from orpheus_server.engine.custom_tokens import CustomTokenParser
from tests.support.completions_bench import PROMPT, REQUEST

STOP = StopTokens((4, 7), ("<eos>", "<end>"))
COMMON = {
    "stream": True,
    "temperature": 0.6,
    "top_p": 0.9,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


def body(dialect: Dialect, **changes: Any) -> dict[str, Any]:
    return dialect.body(replace(REQUEST, **changes), STOP, lambda ids: f"{len(ids)} ids")


def test_llama_server() -> None:
    """Its own samplers, their order and its window of 64 tokens for the penalty are replaced."""
    assert body(Dialect("llama-server")) == COMMON | {
        "prompt": list(PROMPT),
        "return_tokens": True,
        "n_predict": 100,
        "cache_prompt": False,
        "samplers": ["penalties", "temperature", "min_p", "top_k", "top_p"],
        "mirostat": 0,
        "dynatemp_range": 0.0,
        "top_k": 30,
        "min_p": 0.02,
        "repeat_penalty": 1.1,
        "repeat_last_n": 109,
        "ignore_eos": False,
        "stop": ["<eos>", "<end>"],
        "seed": (2**40 + 5) % (2**32 - 1),
    }
    assert body(Dialect("llama-server"), seed=None)["seed"] == -1
    assert 0 <= body(Dialect("llama-server"), seed=2**32 - 1)["seed"] < 2**32 - 1


def test_vllm() -> None:
    assert body(Dialect("vLLM", "m")) == COMMON | {
        "model": "m",
        "prompt": list(PROMPT),
        "return_token_ids": True,
        "max_tokens": 100,
        "top_k": 30,
        "min_p": 0.02,
        "repetition_penalty": 1.1,
        "seed": 2**40 + 5,
        "stop_token_ids": [4, 7],
        "skip_special_tokens": False,
        "ignore_eos": False,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    off = replace(REQUEST.sampling, top_k=0, top_p=0.0)
    fields = body(Dialect("vLLM", "m"), sampling=off, seed=None)
    assert (fields["top_k"], fields["top_p"], fields["seed"]) == (-1, 1e-6, None)


def test_text() -> None:
    plain = COMMON | {
        "model": "m",
        "prompt": "9 ids",
        "max_tokens": 100,
        "stop": ["<eos>", "<end>"],
        "stream_options": {"include_usage": True},
        "seed": (2**40 + 5) % (2**31 - 1),
    }
    assert body(Dialect("text", "m", has_extras=False)) == plain
    assert body(Dialect("text", "m")) == plain | {
        "top_k": 30,
        "min_p": 0.02,
        "repeat_penalty": 1.1,
        "repeat_last_n": 109,
        "repetition_penalty": 1.1,
        "samplers": ["penalties", "temperature", "min_p", "top_k", "top_p"],
        "cache_prompt": False,
        "skip_special_tokens": False,
    }
    assert "seed" not in body(Dialect("text"), seed=None)


def reader(dialect: DialectName) -> EventReader:
    return EventReader(dialect, STOP, 200, CustomTokenParser(100))


def choice(text: str = "", **fields: Any) -> str:
    return json.dumps({"choices": [{"text": text, "finish_reason": None, **fields}]})


def llama(ids: list[int], count: int, **fields: Any) -> str:
    return json.dumps({"tokens": ids, "stop": False, "tokens_predicted": count, **fields})


def test_ids_after_the_stop_id_are_dropped() -> None:
    events = reader("llama-server")
    assert events.read(llama([50, 51], 2)) == [50, 51]
    assert events.read(llama([52, 7, 53], 5)) == [52, 7]
    assert events.finish_reason == "stop"
    assert events.read(llama([54], 6)) == []
    assert not events.is_complete
    assert events.read(llama([], 6, stop=True, stop_type="limit")) == []
    assert (events.is_complete, events.finish_reason) == (True, "stop")


@pytest.mark.parametrize(
    ("kind", "ids", "reason"),
    [("eos", [4], "stop"), ("word", [4], "stop"), ("none", [4], "stop"), ("limit", [], "length")],
)
def test_the_end_without_a_stop_id(kind: str, ids: list[int], reason: str) -> None:
    """Its vocabulary may end on another id; consumers get the checkpoint's."""
    events = reader("llama-server")
    assert events.read(llama([], 0, stop=True, stop_type=kind)) == ids
    assert events.finish_reason == reason


@pytest.mark.parametrize("dialect", ["vLLM", "text"])
def test_an_unknown_finish_reason(dialect: DialectName) -> None:
    with pytest.raises(ServerFailed, match="ended the completion with 'abort'"):
        reader(dialect).read(choice(finish_reason="abort", token_ids=[]))


def test_a_text_in_the_last_event() -> None:
    events = reader("text")
    assert events.read(choice("<custom_token_5><custom_")) == [105]
    assert events.read(choice("token_6>", finish_reason="stop")) == [106, 4]
    assert events.read('{"choices": [], "usage": {"completion_tokens": 3}}') == []
    assert events.read("[DONE]") == []
    assert events.is_complete


@pytest.mark.parametrize(
    ("counted", "is_good"), [(0, False), (1, True), (2, True), (3, True), (4, False), (9, False)]
)
def test_the_count_of_a_text(counted: int, is_good: bool) -> None:
    """The count may include the stop id, and be one off."""
    events = reader("text")
    events.read(choice("<custom_token_5><custom_token_6>"))
    events.read(json.dumps({"choices": [], "usage": {"completion_tokens": counted}}))
    if is_good:
        assert events.read("[DONE]") == []
    else:
        with pytest.raises(ServerFailed, match=f"2 tokens but counts {counted}"):
            events.read("[DONE]")


def test_tokens_that_are_other_text_are_counted_too() -> None:
    events = reader("text")
    events.read(choice("<custom_token_5> a b c"))
    events.read('{"choices": [], "usage": {"completion_tokens": 5}}')
    assert events.read("[DONE]") == []


def test_an_event_of_any_other_shape() -> None:
    assert reader("vLLM").read('{"choices": [7], "usage": null}') == []
    assert reader("text").read('{"choices": [{"text": 5}]}') == []
    with pytest.raises(ServerFailed, match="without token ids"):
        reader("llama-server").read('{"content": "a"}')
