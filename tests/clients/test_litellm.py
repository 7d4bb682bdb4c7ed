"""LiteLLM's speech and chat."""

import pytest

from tests.clients.conftest import Address
from tests.support.clients import NO_WORDS, SENTENCE, check_texts, run_python

pytestmark = pytest.mark.clients


def test_speech_and_chat(address: Address) -> None:
    result = run_python("litellm_calls", address.url, address.key, SENTENCE, NO_WORDS)
    check_texts(result["spoken"], "mp3", slack_sec=0.1)
    assert result["reply"] == SENTENCE


def test_a_failure_in_the_middle_is_an_error(failing: Address) -> None:
    (spoken,) = run_python("litellm_calls", failing.url, failing.key, SENTENCE)["spoken"]
    assert spoken["error"] is not None
