"""Encoders from samples to bytes, one for each audio format of the API."""

import struct
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from orpheus_server.audio.av_encoder import AAC, FLAC, MP3, OPUS, AvEncoder
from orpheus_server.audio.samples import to_int16
from orpheus_server.interfaces import Samples

_UNKNOWN_SIZE = 0xFFFFFFFF
"""Players read it as "until the end"; some treat 0, the other convention, as an empty file."""


class Encoder(Protocol):
    """Turns samples into bytes; the bytes from `feed` and `flush` together are the file.

    They do not depend on how the samples are split. An encoder may be dropped at any time.
    """

    def feed(self, samples: Samples) -> bytes:
        """Returns the bytes that these samples complete."""

    def flush(self) -> bytes:
        """Returns the last bytes."""


class PcmEncoder:
    """Raw 16-bit signed little-endian mono, like OpenAI's `pcm`."""

    def feed(self, samples: Samples) -> bytes:
        """Returns two bytes per sample."""
        return to_int16(samples).astype("<i2").tobytes()

    def flush(self) -> bytes:
        """Returns nothing, because `feed` holds nothing back."""
        return b""


class WavEncoder:
    """A complete RIFF file with its true sizes, which `flush` returns as a whole."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._pcm = PcmEncoder()
        self._parts: list[bytes] = []

    def feed(self, samples: Samples) -> bytes:
        """Returns nothing yet, because the header needs the length of the data."""
        self._parts.append(self._pcm.feed(samples))
        return b""

    def flush(self) -> bytes:
        """Returns the header and the data."""
        data = b"".join(self._parts)
        return wav_header(self._sample_rate, num_data_bytes=len(data)) + data


class StreamedWavEncoder:
    """A RIFF file that ends with the stream; its header does not state the length."""

    def __init__(self, sample_rate: int) -> None:
        self._pcm = PcmEncoder()
        self._header = wav_header(sample_rate, num_data_bytes=None)

    def feed(self, samples: Samples) -> bytes:
        """Returns two bytes per sample, and the header before the first one."""
        header, self._header = self._header, b""
        return header + self._pcm.feed(samples)

    def flush(self) -> bytes:
        """Returns the header if `feed` was never called, else nothing."""
        header, self._header = self._header, b""
        return header


def wav_header(sample_rate: int, *, num_data_bytes: int | None) -> bytes:
    """Returns the 44 bytes before 16-bit mono data (Microsoft, Multimedia Data Standards 1991)."""
    bytes_per_second = sample_rate * 2
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, bytes_per_second, 2, 16)
    if num_data_bytes is None:
        riff_size = data_size = _UNKNOWN_SIZE
    else:
        riff_size, data_size = 4 + len(fmt) + 8 + num_data_bytes, num_data_bytes
    riff = struct.pack("<4sI4s", b"RIFF", riff_size, b"WAVE")
    return riff + fmt + struct.pack("<4sI", b"data", data_size)


class BuildEncoder(Protocol):
    """Builds an encoder, either for a stream or for a complete file."""

    def __call__(self, sample_rate: int, *, is_streamed: bool) -> Encoder: ...


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A `response_format`: its name, its media type, and the function that builds its encoders.

    Without `streams_by_default` it is streamed only for a caller that asks for a stream.
    """

    name: str
    media_type: str
    streams_by_default: bool
    build_encoder: BuildEncoder


def build_pcm(sample_rate: int, *, is_streamed: bool) -> Encoder:
    """Returns an encoder whose bytes are the same whether streamed or not, and at any rate."""
    return PcmEncoder()


def build_wav(sample_rate: int, *, is_streamed: bool) -> Encoder:
    """Returns an encoder whose header has true sizes only if it is not streamed."""
    return StreamedWavEncoder(sample_rate) if is_streamed else WavEncoder(sample_rate)


FORMATS = {
    form.name: form
    for form in (
        # Many players trust the length in a wav's header.
        AudioFormat("wav", "audio/wav", False, build_wav),
        AudioFormat("pcm", "audio/pcm", True, build_pcm),
        AudioFormat("mp3", "audio/mpeg", True, partial(AvEncoder, MP3)),
        AudioFormat("opus", "audio/opus", True, partial(AvEncoder, OPUS)),
        AudioFormat("aac", "audio/aac", True, partial(AvEncoder, AAC)),
        AudioFormat("flac", "audio/flac", True, partial(AvEncoder, FLAC)),
    )
}


def open_encoder(format_name: str, sample_rate: int, *, is_streamed: bool) -> Encoder:
    """Returns a new encoder for one of `FORMATS`.

    Raises `ValueError` if its codec does not support the sample rate.
    """
    return FORMATS[format_name].build_encoder(sample_rate, is_streamed=is_streamed)
