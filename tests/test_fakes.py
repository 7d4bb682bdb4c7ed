"""The scripted engine that the unit tests rely on."""

from collections.abc import Sequence

import pytest

from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.fakes import PacedEngine, Script, ScriptedEngine
from orpheus_server.interfaces import TokenDelta, TokenEngine, TokenRequest
from tests.support.app import POCKET, short_script

pytestmark = pytest.mark.anyio


def request(max_tokens: int) -> TokenRequest:
    return TokenRequest("r", (1, 5, 9), POCKET.sampling, max_tokens, None)


async def deltas_of(engine: TokenEngine, max_tokens: int = 700) -> Sequence[TokenDelta]:
    return [delta async for delta in engine.generate(request(max_tokens))]


async def test_scripts_are_played_in_order_and_then_the_default() -> None:
    engine = ScriptedEngine(lambda request: Script((3,)))
    engine.enqueue(Script((1,)), Script((2,), "length"))
    played = [await deltas_of(engine) for _ in range(3)]
    assert played == [
        [TokenDelta((1,), "stop")],
        [TokenDelta((2,), "length")],
        [TokenDelta((3,), "stop")],
    ]
    assert (engine.num_active, engine.max_active, engine.num_aborted) == (0, 1, 0)


async def test_no_more_than_max_tokens() -> None:
    engine = ScriptedEngine(lambda request: short_script(29))
    deltas = await deltas_of(engine, max_tokens=10)
    assert [len(delta.token_ids) for delta in deltas] == [7, 3]
    assert deltas[-1].finish_reason == "length"


async def test_a_closed_generation_is_aborted() -> None:
    engine = ScriptedEngine(lambda request: short_script(29))
    deltas = engine.generate(request(700))
    await anext(deltas)
    await deltas.aclose()
    assert (engine.num_active, engine.num_aborted) == (0, 1)


@pytest.mark.parametrize(
    ("error", "is_alive"), [(GenerationFailed("no"), True), (EngineDead("gone"), False)]
)
async def test_only_engine_dead_ends_the_engine(error: Exception, is_alive: bool) -> None:
    engine = ScriptedEngine(lambda request: Script((1,), error=error))
    with pytest.raises(type(error)):
        await deltas_of(engine)
    assert (engine.is_alive, engine.num_aborted) == (is_alive, 0)


async def test_a_paced_generation_is_one_delta_per_frame() -> None:
    engine = PacedEngine(POCKET.layout, tokens_per_sec=1e6, num_frames=3, max_model_len=8192)
    async with engine:
        deltas = await deltas_of(engine)
    assert [len(delta.token_ids) for delta in deltas] == [7, 7, 8]
    assert [delta.finish_reason for delta in deltas] == [None, None, "stop"]
    assert (engine.num_tokens, engine.num_active, engine.is_alive) == (22, 0, False)
