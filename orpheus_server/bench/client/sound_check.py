"""Checks that a response is audible and that its duration fits the text."""

import base64
import io
import json
import wave

import av
import numpy as np

from orpheus_server.bench.client.audible import AudibleFinder
from orpheus_server.bench.client.player import BYTES_PER_SEC, SAMPLE_RATE

_CHARS_PER_SEC = 15
_LEAST_SHARE = 0.3
_MOST_SHARE = 4.0
_MOST_MORE_SEC = 2.0
"""Allowed durations, relative to the one expected for the text: voices differ far less."""

_CONTAINERS = {"mp3": "mp3", "opus": "ogg", "flac": "flac", "aac": "aac"}


def sound_defect(response_format: str, body: bytes, text: str) -> str | None:
    """Returns the defect of a complete response, or None if its audio is plausible."""
    if not body:
        return "empty body"
    if response_format == "pcm" and len(body) % 2:
        return "body ends in half a sample"
    try:
        samples = _decode(response_format, body)
    except (av.error.FFmpegError, wave.Error, EOFError, ValueError):
        return f"invalid {response_format}"
    audio_sec = len(samples) / BYTES_PER_SEC
    expected_sec = len(text) / _CHARS_PER_SEC
    if audio_sec < _LEAST_SHARE * expected_sec:
        return "too short for its text"
    if audio_sec > _MOST_SHARE * expected_sec + _MOST_MORE_SEC:
        return "too long for its text"
    finder = AudibleFinder()
    finder.feed(samples)
    return "nothing audible" if finder.byte is None else None


def events_to_sound(body: bytes) -> tuple[bytes, str | None]:
    """Returns the audio in server-sent events, and the defect of the events or None."""
    sound = bytearray()
    is_done = False
    try:
        for block in body.decode().split("\n\n")[:-1]:
            event = json.loads(block.removeprefix("data: "))
            if is_done:
                return bytes(sound), "an event after speech.audio.done"
            if "error" in event:
                return bytes(sound), f"error event {event['error'].get('code')}"
            if event["type"] == "speech.audio.delta":
                sound += base64.b64decode(event["audio"], validate=True)
            is_done = event["type"] == "speech.audio.done"
    except (ValueError, LookupError, TypeError, AttributeError):
        return bytes(sound), "invalid events"
    return bytes(sound), None if is_done else "no speech.audio.done"


def _decode(response_format: str, body: bytes) -> bytes:
    """Decodes to 16-bit mono at 24 kHz; raises for an invalid file."""
    if response_format == "pcm":
        return body
    if response_format == "wav":
        return _decode_wav(body)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    parts = []
    with av.open(io.BytesIO(body), "r", format=_CONTAINERS[response_format]) as container:
        for frame in container.decode(audio=0):
            parts += [part.to_ndarray() for part in resampler.resample(frame)]
        parts += [part.to_ndarray() for part in resampler.resample(None)]
    if not parts:
        raise ValueError("no audio frames")
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def _decode_wav(body: bytes) -> bytes:
    with wave.open(io.BytesIO(body)) as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        samples: bytes = file.readframes(file.getnframes())
        if form != (1, 2, SAMPLE_RATE) or len(samples) != 2 * file.getnframes():
            raise ValueError("its samples do not match its header")
    return samples
