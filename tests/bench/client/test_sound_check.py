"""Invalid audio in every format."""

import base64
import json

import numpy as np
import pytest

from orpheus_server.audio.encoders import FORMATS, open_encoder
from orpheus_server.bench.client.sound_check import events_to_sound, sound_defect
from orpheus_server.interfaces import Samples
from tests.bench.builders import SECOND, SPEECH, TEXT

RATE = 24_000


def encode(name: str, samples: Samples, *, is_streamed: bool = True) -> bytes:
    encoder = open_encoder(name, RATE, is_streamed=is_streamed and name != "wav")
    return encoder.feed(samples) + encoder.flush()


def tone(audio_sec: float) -> Samples:
    time_sec = np.arange(int(audio_sec * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 300 * time_sec)).astype(np.float32)


@pytest.mark.parametrize("name", FORMATS)
class TestFormats:
    def test_speech(self, name: str) -> None:
        assert sound_defect(name, encode(name, tone(3.0)), TEXT) is None

    def test_silence(self, name: str) -> None:
        silence = np.zeros(3 * RATE, np.float32)
        assert sound_defect(name, encode(name, silence), TEXT) == "nothing audible"

    def test_too_short(self, name: str) -> None:
        assert sound_defect(name, encode(name, tone(0.5)), TEXT) == "too short for its text"

    def test_too_long(self, name: str) -> None:
        assert sound_defect(name, encode(name, tone(15.0)), TEXT) == "too long for its text"

    def test_an_empty_body(self, name: str) -> None:
        assert sound_defect(name, b"", TEXT) == "empty body"


@pytest.mark.parametrize("name", ["wav", "mp3", "opus", "flac", "aac"])
def test_a_body_in_another_format(name: str) -> None:
    assert sound_defect(name, b"<html>nothing of the kind</html>" * 99, TEXT) == f"invalid {name}"


def test_half_a_sample() -> None:
    assert sound_defect("pcm", SPEECH + b"\0", TEXT) == "body ends in half a sample"


def test_a_truncated_wav() -> None:
    assert sound_defect("wav", encode("wav", tone(3.0))[:-2], TEXT) == "invalid wav"


def test_limits() -> None:
    """45 characters take about 3 s: 0.9 to 14 s are accepted."""
    assert len(TEXT) == 45
    assert sound_defect("pcm", (SECOND * 9)[: len(SECOND) * 9 // 10], TEXT) is None
    assert sound_defect("pcm", SECOND[:43_198], TEXT) == "too short for its text"
    assert sound_defect("pcm", SECOND * 14, TEXT) is None
    assert sound_defect("pcm", SECOND * 14 + b"\0\0", TEXT) == "too long for its text"


def event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


DELTA = event(type="speech.audio.delta", audio=base64.b64encode(b"ab").decode())
DONE = event(type="speech.audio.done")


@pytest.mark.parametrize(
    ("body", "sound", "defect"),
    [
        (DELTA + DELTA + DONE, b"abab", None),
        (DELTA + DELTA, b"abab", "no speech.audio.done"),
        (DELTA + DONE + DELTA, b"ab", "an event after speech.audio.done"),
        (DELTA + event(error={"code": "timeout"}), b"ab", "error event timeout"),
        (DELTA + b"data: {\n\n", b"ab", "invalid events"),
        (event(type="speech.audio.delta", audio="?"), b"", "invalid events"),
        (b"\xff\n\n", b"", "invalid events"),
        (b"", b"", "no speech.audio.done"),
    ],
)
def test_events(body: bytes, sound: bytes, defect: str | None) -> None:
    assert events_to_sound(body) == (sound, defect)
