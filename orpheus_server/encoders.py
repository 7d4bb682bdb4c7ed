"""Samples to bytes in the formats of the API: `feed` and `flush`."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orpheus_server.audio import Samples, to_int16


class Encoder(Protocol):
    """Bytes for samples; the joined bytes of `feed` and `flush` are the file."""

    def feed(self, samples: Samples) -> bytes:
        """Bytes that these samples complete."""

    def flush(self) -> bytes:
        """The last bytes."""


class PcmEncoder:
    """Raw 16-bit signed little-endian mono, as OpenAI's `pcm`."""

    def feed(self, samples: Samples) -> bytes:
        """Two bytes a sample."""
        return to_int16(samples).astype("<i2").tobytes()

    def flush(self) -> bytes:
        """Nothing is held back."""
        return b""


class WavEncoder:
    """One complete RIFF file with true sizes, so it comes as a whole at `flush`."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._pcm = PcmEncoder()
        self._parts: list[bytes] = []

    def feed(self, samples: Samples) -> bytes:
        """Nothing yet: the header holds the length of what follows."""
        self._parts.append(self._pcm.feed(samples))
        return b""

    def flush(self) -> bytes:
        """Header and data."""
        data = b"".join(self._parts)
        return wav_header(self._sample_rate, num_data_bytes=len(data)) + data


def wav_header(sample_rate: int, *, num_data_bytes: int) -> bytes:
    """The 44 bytes before 16-bit mono data (Microsoft, Multimedia Data Standards 1991)."""
    bytes_per_second = sample_rate * 2
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, bytes_per_second, 2, 16)
    data = struct.pack("<4sI", b"data", num_data_bytes)
    riff = struct.pack("<4sI4s", b"RIFF", 4 + len(fmt) + len(data) + num_data_bytes, b"WAVE")
    return riff + fmt + data


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A `response_format`: its name, its media type, and what makes its encoder."""

    name: str
    media_type: str
    build_encoder: Callable[[int], Encoder]


FORMATS = {
    "wav": AudioFormat("wav", "audio/wav", WavEncoder),
    "pcm": AudioFormat("pcm", "audio/pcm", lambda sample_rate: PcmEncoder()),
}


def open_encoder(format_name: str, sample_rate: int) -> Encoder:
    """A new encoder of one of `FORMATS`."""
    return FORMATS[format_name].build_encoder(sample_rate)
