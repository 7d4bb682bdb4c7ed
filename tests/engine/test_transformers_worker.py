"""How ids become deltas; the thread itself is tested in `test_transformers_engine.py`."""

import asyncio
from typing import Any

import pytest
import torch

from orpheus_server.engine.transformers_batch import BatchRow, NewToken
from orpheus_server.engine.transformers_worker import Generation, is_out_of_memory
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.interfaces import FinishReason, TokenDelta
from tests.support.engine_contract import request

ROW = BatchRow(request(), iter(()))


def new(token_id: int | None, reason: FinishReason | None = None) -> NewToken:
    return NewToken(ROW, token_id, reason)


async def generation() -> Generation:
    return Generation(request(), 3, asyncio.get_running_loop())


def test_the_first_id_is_sent_at_once_and_the_rest_in_threes() -> None:
    async def work() -> list[Any]:
        each = await generation()
        return [each.take(new(index, "stop" if index == 8 else None)) for index in range(9)]

    nothing = None
    assert asyncio.run(work()) == [
        *(TokenDelta((0,), None), nothing, nothing, TokenDelta((1, 2, 3), None)),
        *(nothing, nothing, TokenDelta((4, 5, 6), None), nothing, TokenDelta((7, 8), "stop")),
    ]


def test_deltas_arrive_in_order_and_an_error_is_last() -> None:
    async def work() -> None:
        each = await generation()
        loop = asyncio.get_running_loop()
        loop.call_soon(each.put, TokenDelta((1,), None))
        assert await each.get() == TokenDelta((1,), None)
        each.put(TokenDelta((2,), None))
        each.put(EngineDead("gone"))
        assert await each.get() == TokenDelta((2,), None)
        with pytest.raises(EngineDead, match="gone"):
            await each.get()

    asyncio.run(work())


def test_logits_that_are_not_numbers_are_an_error() -> None:
    async def work() -> Any:
        return (await generation()).take(new(None))

    assert isinstance(asyncio.run(work()), GenerationFailed)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError(), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("device-side assert triggered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory
