import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orpheus_server.concurrency import WorkerPool
from orpheus_server.fakes import ScriptedEngine, ToneDecoder
from orpheus_server.runtime.speech_stack import SpeechStack
from tests.support.app import (
    POCKET,
    POCKET_FRONT_END,
    build_prompts,
    endless_script,
    fitting_speech,
    loop_script,
    short_script,
)
from tests.training.evaluate.recorded import item
from training.evaluate.raw import RawSpeaker, speak_all, write_plan
from training.evaluate.sampling import Sampling
from training.evaluate.spoken import SpokenFolder

MILD, WARM = Sampling(0.6, 0.9), Sampling(0.8, 0.95)
# 30 letters and a stop are 31 phonemes or 29.06 frames; the fake speaks the voice as well.
ITEM = item("held_out/0/rms", text="Abcdefg hijklmno. Pqrstuv wxyzabcd.")
FRAME = 2048


@asynccontextmanager
async def open_stack() -> AsyncIterator[tuple[RawSpeaker, ScriptedEngine]]:
    engine, pool = ScriptedEngine(fitting_speech(POCKET)), WorkerPool(1)
    stack = SpeechStack(
        POCKET_FRONT_END, build_prompts(POCKET), engine, ToneDecoder(), pool, lambda: engine
    )
    yield RawSpeaker(stack, POCKET), engine
    await pool.close()


def test_speaks_in_one_generation_with_the_seed_of_the_item() -> None:
    async def run() -> None:
        async with open_stack() as (speaker, engine):
            spoken = await speaker.speak(ITEM, WARM)
            assert spoken.result == {
                **{"faults": [], "num_frames": 30, "num_pieces": 1},
                "expected_sec": pytest.approx(31 * 0.08),
            }
            assert spoken.samples.size == 30 * FRAME
            (request,) = engine.requests
            assert request.seed == ITEM.seed
            assert (request.sampling.temperature, request.sampling.top_p) == (0.8, 0.95)
            # 2.5 times the expected length and 3 s: 107.8 frames, and one more.
            assert request.max_tokens == 109 * 7

    asyncio.run(run())


def test_a_text_beyond_the_training_is_spoken_in_pieces() -> None:
    """The bundled voice was trained on 6.5 s: 81 phonemes."""

    async def run() -> None:
        async with open_stack() as (speaker, engine):
            long = replace(ITEM, text=" ".join(["Abcdefg hijklmno pqrstuv."] * 5))
            spoken = await speaker.speak(long, MILD)
            assert spoken.result["num_pieces"] == len(engine.requests) > 1
            seeds = [request.seed for request in engine.requests]
            assert seeds == [long.seed + index for index in range(len(seeds))]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("script", "faults"),
    [
        (replace(loop_script(10), hangs_at_end=False), ["loop"]),
        (endless_script(50), ["token_limit"]),
        (short_script(1), ["too_short"]),
    ],
)
def test_faults_are_recorded_and_nothing_is_cut(script: object, faults: list[str]) -> None:
    async def run() -> None:
        async with open_stack() as (speaker, engine):
            engine.enqueue(script)  # type: ignore[arg-type]
            spoken = await speaker.speak(ITEM, MILD)
            assert spoken.result["faults"] == faults
            assert spoken.samples.size == spoken.result["num_frames"] * FRAME

    asyncio.run(run())


def test_speaks_only_what_is_missing(tmp_path: Path) -> None:
    items = [replace(ITEM, key=f"held_out/{number}/rms") for number in range(10)]
    folders = [(MILD, tmp_path / "mild"), (WARM, tmp_path / "warm")]
    stops = iter([False, True])

    async def run() -> None:
        async with open_stack() as (speaker, engine):
            await speak_all(speaker, items, folders[:1], lambda: next(stops))
            assert len(SpokenFolder(folders[0][1]).entries()) == len(engine.requests) == 8
            await speak_all(speaker, items, folders, lambda: False)
            assert len(engine.requests) == 20

    asyncio.run(run())
    for _, path in folders:
        assert SpokenFolder(path).missing(items) == []


def test_a_plan_is_readable_json(tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.json", tmp_path / "voice", [ITEM], [(MILD, tmp_path / "mild")])
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["folders"] == [[0.6, 0.9, str(tmp_path / "mild")]]
    assert plan["items"] == [ITEM.to_json()]
