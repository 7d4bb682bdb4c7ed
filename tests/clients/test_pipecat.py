"""Pipecat's OpenAI TTS service in a pipeline."""

import pytest

from tests.clients.conftest import Address
from tests.support.clients import NO_WORDS, SENTENCE, check_texts, run_python

pytestmark = pytest.mark.clients


def test_speech_and_silence(address: Address) -> None:
    """A text without words pushed an error frame."""
    result = run_python("pipecat_tts", address.url, address.key, SENTENCE, NO_WORDS)
    check_texts(result["spoken"], "pcm")


def test_a_failure_in_the_middle_is_an_error(failing: Address) -> None:
    (spoken,) = run_python("pipecat_tts", failing.url, failing.key, SENTENCE)["spoken"]
    assert spoken["error"] is not None
