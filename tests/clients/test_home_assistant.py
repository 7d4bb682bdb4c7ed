"""Home Assistant: its OpenAI integration, and its bridge from OpenAI's API to Wyoming."""

import pytest

from tests.clients.conftest import Address
from tests.support.clients import (
    NO_WORDS,
    SENTENCE,
    check_texts,
    is_installed,
    run_python,
)

pytestmark = pytest.mark.clients


def test_the_integration(address: Address) -> None:
    """A text without words was an error of the action that speaks."""
    result = run_python("home_assistant", address.url, address.key, SENTENCE, NO_WORDS)
    check_texts(result["spoken"], "mp3", slack_sec=0.1)


def test_a_failure_in_the_middle_is_an_error(failing: Address) -> None:
    (spoken,) = run_python("home_assistant", failing.url, failing.key, SENTENCE)["spoken"]
    assert spoken["error"] is not None


def test_the_bridge(address: Address) -> None:
    """A text without words was an error."""
    if not is_installed("wyoming-openai"):
        pytest.skip("wyoming-openai needs Python 3.12")
    result = run_python("wyoming_bridge", address.url, address.key, SENTENCE, NO_WORDS)
    check_texts(result["spoken"], "pcm")
