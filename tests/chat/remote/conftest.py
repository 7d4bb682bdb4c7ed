"""The stub server of these tests."""

from collections.abc import AsyncIterator

import pytest

from tests.support.stub_llm import StubLlm


@pytest.fixture
async def stub() -> AsyncIterator[StubLlm]:
    async with StubLlm() as stub:
        yield stub
