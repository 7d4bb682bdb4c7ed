"""The request of SillyTavern's OpenAI-compatible provider, as its server sends it.

Its browser part sends a message to its own server, which sends these fields on, and plays the MP3
that comes back.
"""

import base64
import json
import urllib.request

import pytest

from tests.clients.conftest import Address
from tests.support.clients import NO_WORDS, SENTENCE, check_texts

pytestmark = pytest.mark.clients


def speak(address: Address, path: str, text: str, *, voice: str) -> bytes:
    fields = {
        "input": text,
        "response_format": "mp3",
        "voice": voice,
        "speed": 1,
        "model": "tts-1",
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {address.key}"}
    body = json.dumps(fields).encode()
    request = urllib.request.Request(address.url + path, body, headers)
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["content-type"] == "audio/mpeg"
        audio: bytes = answer.read()
        return audio


@pytest.mark.parametrize(
    ("path", "voice"),
    [
        ("/audio/speech", "alloy"),
        ("/audio/speech/", "alloy"),
        ("//audio/speech", "alloy"),
        ("/audio/speech", ""),
    ],
)
def test_speech_and_silence(address: Address, path: str, voice: str) -> None:
    """An address with a slash too many was a 404, and a cleared list of voices a 400."""
    texts = (SENTENCE, NO_WORDS)
    audio = [speak(address, path, text, voice=voice) for text in texts]
    spoken = [{"audio": base64.b64encode(each).decode()} for each in audio]
    check_texts(spoken, "mp3", slack_sec=0.1)
