"""LiveKit's OpenAI TTS, which asks for server-sent events."""

from typing import Any

import pytest

from tests.clients.conftest import Address
from tests.support.clients import NO_WORDS, SENTENCE, check_texts, run_python, samples_of

pytestmark = pytest.mark.clients


def speak(address: Address, *texts: str) -> list[dict[str, Any]]:
    spoken: list[dict[str, Any]] = run_python("livekit_tts", address.url, address.key, *texts)[
        "spoken"
    ]
    return spoken


def test_speech_and_silence(address: Address) -> None:
    """A text without words ended the agent's turn with an error."""
    # Decoded from MP3 by LiveKit, in frames of 200 ms.
    check_texts(speak(address, SENTENCE, NO_WORDS), "pcm", slack_sec=0.2)


def test_a_failure_in_the_middle_is_an_error(failing: Address) -> None:
    """The speech was played as complete."""
    (spoken,) = speak(failing, SENTENCE)
    assert spoken["error"] == "APIConnectionError"
    assert samples_of({"audio": spoken["audio"]}, "pcm").size
