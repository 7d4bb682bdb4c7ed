"""Warm-up and measurement of the capacity, before the first request."""

import asyncio
import logging

import pytest

from orpheus_server.errors import GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.runtime import warm_up as warm_up_module
from orpheus_server.runtime.warm_up import PROBE_TEXT, measure_capacity, warm_up
from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.chunk_synthesizer import ChunkSynthesizer
from orpheus_server.synthesis.retry import RetryPolicy
from orpheus_server.synthesis.synthesizer import Synthesizer
from orpheus_server.text.chunking import ChunkLimits
from tests.support.app import POCKET, POCKET_FRONT_END, Bench, short_script

pytestmark = pytest.mark.anyio

CEILING = 32


def build(bench: Bench, capacity: Capacity) -> Synthesizer:
    return Synthesizer(
        ChunkSynthesizer(
            bench.runner,
            POCKET_FRONT_END,
            bench.pool,
            RetryPolicy(max_attempts=1, default=POCKET.sampling),
            may_be_degraded=False,
        ),
        bench.pool,
        sample_rate=24_000,
        limits=ChunkLimits(chunk_max_chars=80, chunk_max_sec=60.0),
        front_end=POCKET_FRONT_END,
        capacity=capacity,
    )


async def measure(bench: Bench, capacity: Capacity, *, num_at_once: int = 4) -> None:
    await measure_capacity(
        build(bench, capacity),
        capacity,
        POCKET.default_voice,
        POCKET.sampling,
        num_at_once=num_at_once,
    )


async def test_warm_up_synthesises_one_word(bench: Bench) -> None:
    await warm_up(build(bench, Capacity(ceiling=1)), POCKET.default_voice, POCKET.sampling)
    (request,) = bench.engine.requests
    assert (request.request_id, request.max_tokens) == ("warm-up-0-1", 140)


async def test_capacity_is_measured_alone_and_with_concurrent_requests(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    capacity = Capacity(ceiling=CEILING)
    await measure(bench, capacity)
    names = [request.request_id for request in bench.engine.requests]
    assert names[:2] == ["alone-0-0-1", "alone-1-0-1"]
    assert sorted(names[2:]) == [f"beside-{index}-0-1" for index in range(4)]
    assert f"capacity: {capacity.num_streams} streams in real time" in caplog.text
    assert bench.engine.num_active == 0


@pytest.mark.parametrize(
    ("part", "others"),
    [("alone", {f"beside-{index}-0-1" for index in range(4)}), ("beside", {"alone-0-0-1"})],
)
async def test_each_part_of_the_measurement_has_a_time_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, part: str, others: set[str]
) -> None:
    """A slow machine, or a model that never stops, must not keep the server from starting."""
    monkeypatch.setattr(warm_up_module, f"{part.upper()}_LIMIT_SEC", 0.05)
    never = asyncio.Event()
    bench.scripts[f"{part}-0-0-1"] = Script(short_script(9).token_ids, gate=never)
    capacity = Capacity(ceiling=CEILING)
    await measure(bench, capacity)
    names = {request.request_id for request in bench.engine.requests}
    assert others <= names
    assert ("alone-1-0-1" in names) == (part == "beside")
    assert bench.engine.num_active == 0
    assert 1 <= capacity.num_streams <= CEILING


async def test_a_model_that_fails_leaves_the_capacity_at_its_ceiling(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.scripts["alone-0-0-1"] = Script((), error=GenerationFailed("no speech"))
    capacity = Capacity(ceiling=CEILING)
    await measure(bench, capacity)
    assert capacity.num_streams == CEILING
    assert "the capacity could not be measured" in caplog.text
    assert PROBE_TEXT not in caplog.text
