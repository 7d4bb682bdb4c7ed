"""Vercel's AI SDK: speech, and chat whole and streamed."""

import pytest

from tests.clients.conftest import Address
from tests.support.clients import NO_WORDS, SENTENCE, check_texts, run_node

pytestmark = pytest.mark.clients


def test_speech_and_chat(address: Address) -> None:
    result = run_node("vercel_ai", address.url, address.key, SENTENCE, NO_WORDS)
    check_texts(result["spoken"], "mp3", slack_sec=0.1)
    assert (result["whole"], result["streamed"]) == (SENTENCE, SENTENCE)
