"""The engine with loops that the tests of the real engine use."""

from collections.abc import Sequence

import pytest

from orpheus_server.fakes import ScriptedEngine
from orpheus_server.interfaces import TokenRequest
from tests.support.app import POCKET, short_script, speech_ids
from tests.support.looping_engine import LoopingEngine

pytestmark = pytest.mark.anyio


def request(max_tokens: int) -> TokenRequest:
    return TokenRequest("r", (1, 5, 9), POCKET.sampling, max_tokens, None)


async def ids_of(engine: LoopingEngine, max_tokens: int = 700) -> Sequence[int]:
    deltas = [delta async for delta in engine.generate(request(max_tokens))]
    return [token_id for delta in deltas for token_id in delta.token_ids]


@pytest.mark.parametrize("delta_size", [1, 5, 7, 21])
async def test_a_loop_repeats_the_last_good_frame(delta_size: int) -> None:
    scripted = ScriptedEngine(lambda request: short_script(29), delta_size=delta_size)
    looping = LoopingEngine(scripted, POCKET.layout, lambda request: 4)
    good = speech_ids(4)
    assert await ids_of(looping) == [*good, *good[-7:] * 96]
    assert (scripted.num_active, scripted.num_aborted) == (0, 1)
    assert looping.requests == scripted.requests


async def test_a_generation_without_a_loop_is_unchanged() -> None:
    scripted = ScriptedEngine(lambda request: short_script(29))
    looping = LoopingEngine(scripted, POCKET.layout, lambda request: None)
    assert await ids_of(looping) == list(short_script(29).token_ids)
    assert (looping.max_model_len, looping.num_active, looping.is_alive) == (8192, 0, True)
    await looping.close()
    assert not scripted.is_alive
