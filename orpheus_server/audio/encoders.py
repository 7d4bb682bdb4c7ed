"""Samples to bytes in the formats of the API: `feed` and `flush`."""

import struct
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from orpheus_server.audio.av_encoder import AAC, FLAC, MP3, OPUS, AvEncoder
from orpheus_server.audio.samples import to_int16
from orpheus_server.interfaces import Samples

_UNKNOWN_SIZE = 0xFFFFFFFF
"""What players take for "until the end"; 0, the other custom, is an empty file for some."""


class Encoder(Protocol):
    """Bytes for samples; the joined bytes of `feed` and `flush` are the file.

    They do not depend on how the samples are cut. An encoder may be dropped at any time.
    """

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


class StreamedWavEncoder:
    """A RIFF file that ends where the stream ends: its header does not know the length."""

    def __init__(self, sample_rate: int) -> None:
        self._pcm = PcmEncoder()
        self._header = wav_header(sample_rate, num_data_bytes=None)

    def feed(self, samples: Samples) -> bytes:
        """Two bytes a sample, the header before the first."""
        header, self._header = self._header, b""
        return header + self._pcm.feed(samples)

    def flush(self) -> bytes:
        """The header if nothing was ever fed."""
        header, self._header = self._header, b""
        return header


def wav_header(sample_rate: int, *, num_data_bytes: int | None) -> bytes:
    """The 44 bytes before 16-bit mono data (Microsoft, Multimedia Data Standards 1991)."""
    bytes_per_second = sample_rate * 2
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, bytes_per_second, 2, 16)
    if num_data_bytes is None:
        riff_size = data_size = _UNKNOWN_SIZE
    else:
        riff_size, data_size = 4 + len(fmt) + 8 + num_data_bytes, num_data_bytes
    riff = struct.pack("<4sI4s", b"RIFF", riff_size, b"WAVE")
    return riff + fmt + struct.pack("<4sI", b"data", data_size)


class BuildEncoder(Protocol):
    """What makes an encoder: one whose bytes are sent as they come, or of one complete file."""

    def __call__(self, sample_rate: int, *, is_streamed: bool) -> Encoder: ...


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A `response_format`: its name, its media type, and what makes its encoders."""

    name: str
    media_type: str
    streams_by_default: bool
    build_encoder: BuildEncoder


def build_pcm(sample_rate: int, *, is_streamed: bool) -> Encoder:
    """The same bytes either way, and at any rate."""
    return PcmEncoder()


def build_wav(sample_rate: int, *, is_streamed: bool) -> Encoder:
    """A stream's header cannot hold true sizes."""
    return StreamedWavEncoder(sample_rate) if is_streamed else WavEncoder(sample_rate)


FORMATS = {
    form.name: form
    for form in (
        # Many players take a wav for what its header says, so it is streamed only when asked for.
        AudioFormat("wav", "audio/wav", False, build_wav),
        AudioFormat("pcm", "audio/pcm", True, build_pcm),
        AudioFormat("mp3", "audio/mpeg", True, partial(AvEncoder, MP3)),
        AudioFormat("opus", "audio/opus", True, partial(AvEncoder, OPUS)),
        AudioFormat("aac", "audio/aac", True, partial(AvEncoder, AAC)),
        AudioFormat("flac", "audio/flac", True, partial(AvEncoder, FLAC)),
    )
}


def open_encoder(format_name: str, sample_rate: int, *, is_streamed: bool) -> Encoder:
    """A new encoder of one of `FORMATS`; `ValueError` if its codec has no such sample rate."""
    return FORMATS[format_name].build_encoder(sample_rate, is_streamed=is_streamed)
