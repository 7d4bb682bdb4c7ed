"""What every speech engine must do, as checks of a running engine with the bundled voice."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.errors import GenerationFailed
from orpheus_server.interfaces import SamplingOptions, TokenDelta, TokenEngine, TokenRequest
from orpheus_server.runtime.serving_config import POCKET_FOLDER

POCKET = load_speech_json(POCKET_FOLDER)
PROMPT = (1, 5, 19, 63, 23, 55, 9, 2, 3)
GREEDY = SamplingOptions(temperature=0.0, top_p=1.0, repetition_penalty=1.1)
"""With a penalty: greedy speech of the bundled voice repeats itself without one."""


def request(
    prompt: tuple[int, ...] = PROMPT,
    *,
    max_tokens: int = 20,
    seed: int | None = 1,
    sampling: SamplingOptions = POCKET.sampling,
) -> TokenRequest:
    """Returns a request for the bundled voice."""
    return TokenRequest(
        request_id=f"contract-{id(object())}",
        prompt_token_ids=prompt,
        sampling=sampling,
        max_tokens=max_tokens,
        seed=seed,
    )


async def collect(engine: TokenEngine, wanted: TokenRequest) -> list[TokenDelta]:
    """Returns all deltas of a generation."""
    async with aclosing(engine.generate(wanted)) as deltas:
        return [delta async for delta in deltas]


async def ids_of(engine: TokenEngine, wanted: TokenRequest) -> list[int]:
    """Returns all ids of a generation."""
    return [each for delta in await collect(engine, wanted) for each in delta.token_ids]


def slots_of(layout: TokenLayout, token_ids: list[int]) -> list[int]:
    """Returns the slot of each audio id."""
    return [(each - layout.audio_token_base) // layout.codebook_size for each in token_ids]


async def the_first_id_is_sent_at_once_and_then_a_frame_at_a_time(engine: TokenEngine) -> None:
    deltas = await collect(engine, request(max_tokens=20))
    assert [len(delta.token_ids) for delta in deltas] == [1, 7, 7, 5]
    assert [delta.finish_reason for delta in deltas] == [None, None, None, "length"]


async def every_id_is_of_its_slot(engine: TokenEngine) -> None:
    hot = replace(POCKET.sampling, temperature=2.0, top_p=1.0)
    requests = [request(max_tokens=28, seed=seed, sampling=hot) for seed in range(6)]
    for token_ids in await asyncio.gather(*(ids_of(engine, each) for each in requests)):
        audio = [each for each in token_ids if each not in POCKET.layout.stop_token_ids]
        assert slots_of(POCKET.layout, audio) == [index % 7 for index in range(len(audio))]


async def speech_ends_with_a_stop_id_after_whole_frames(engine: TokenEngine) -> None:
    deltas = await collect(engine, request(max_tokens=600))
    token_ids = [each for delta in deltas for each in delta.token_ids]
    assert deltas[-1].finish_reason == "stop"
    assert token_ids[-1] in POCKET.layout.stop_token_ids
    assert (len(token_ids) - 1) % 7 == 0
    assert not set(token_ids[:-1]) & set(POCKET.layout.stop_token_ids)


async def a_seed_repeats_its_ids(engine: TokenEngine) -> None:
    first = await ids_of(engine, request(max_tokens=35, seed=5))
    assert await ids_of(engine, request(max_tokens=35, seed=5)) == first
    assert await ids_of(engine, request(max_tokens=35, seed=6)) != first


async def no_seed_gives_other_ids(engine: TokenEngine) -> None:
    wanted = request(max_tokens=70, seed=None)
    assert await ids_of(engine, wanted) != await ids_of(engine, wanted)


async def invalid_prompts_fail_alone(engine: TokenEngine) -> None:
    """An id outside the vocabulary ended the engine, and every request with it."""
    running = engine.generate(request(max_tokens=200))
    await anext(running)
    for prompt, max_tokens, message in (
        ((1, 10**7), 7, "outside of the vocabulary"),
        ((1, -1), 7, "outside of the vocabulary"),
        ((), 7, "the prompt is empty"),
        (PROMPT, 0, "max_tokens is less than 1"),
        (PROMPT, 2048, "2057 tokens do not fit into the context of 2048"),
    ):
        with pytest.raises(GenerationFailed, match=message):
            await collect(engine, request(prompt, max_tokens=max_tokens))
    assert engine.is_alive
    assert engine.num_active == 1
    await anext(running)
    await running.aclose()


async def a_closed_generation_frees_its_cache(engine: TokenEngine) -> None:
    generations = [engine.generate(request(max_tokens=1000, seed=each)) for each in range(3)]
    for each in generations:
        await anext(each)
    assert engine.num_active == 3
    assert 0 < engine.kv_cache_share < 1
    for each in generations:
        await each.aclose()
    assert engine.num_active == 0
    assert engine.kv_cache_share == 0
    assert len(await ids_of(engine, request())) == 20


async def another_loop_is_refused(engine: TokenEngine) -> None:
    await ids_of(engine, request(max_tokens=1))
    with pytest.raises(RuntimeError, match="second event loop"):
        await asyncio.to_thread(lambda: asyncio.run(ids_of(engine, request())))


Check = Callable[[TokenEngine], Coroutine[Any, Any, None]]

CONTRACT: tuple[Check, ...] = (
    the_first_id_is_sent_at_once_and_then_a_frame_at_a_time,
    every_id_is_of_its_slot,
    speech_ends_with_a_stop_id_after_whole_frames,
    a_seed_repeats_its_ids,
    no_seed_gives_other_ids,
    invalid_prompts_fail_alone,
    a_closed_generation_frees_its_cache,
    another_loop_is_refused,
)
