"""LlamaIndex's chat, whole and streamed."""

import pytest

from tests.clients.conftest import Address
from tests.support.clients import SENTENCE, run_python

pytestmark = pytest.mark.clients


def test_chat(address: Address) -> None:
    result = run_python("llama_index_chat", address.url, address.key, SENTENCE)
    assert result == {"whole": SENTENCE, "streamed": SENTENCE}
