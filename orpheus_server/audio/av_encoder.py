"""Encodes samples as mp3, opus, aac and flac with ffmpeg's encoders and muxers through PyAV."""

import io
import weakref
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from orpheus_server.audio.samples import to_int16
from orpheus_server.interfaces import Samples


@dataclass(frozen=True, slots=True)
class AvFormat:
    """A file format in ffmpeg's terms."""

    muxer: str
    codec: Literal["libmp3lame", "libopus", "aac", "flac"]
    sample_format: Literal["s16", "s16p", "fltp"]
    bit_rate: int = 0
    codec_options: dict[str, str] = field(default_factory=dict)
    muxer_options: dict[str, str] = field(default_factory=dict)
    streamed_muxer_options: dict[str, str] = field(default_factory=dict)


# Bit rates are for speech at 24 kHz mono. On the bundled voice the signal-to-noise ratio of mp3 is
# 20 dB at 48 kbit/s, 24 at 64 and 25 at 96; that of aac 20, 28 and 34. Opus does not preserve the
# waveform: 28 to 40 kbit/s is its range for full-band speech (RFC 6716, 2.1.1).

MP3 = AvFormat(
    muxer="mp3",
    codec="libmp3lame",
    sample_format="s16p",
    bit_rate=64_000,
    # An ID3 tag would be empty.
    muxer_options={"id3v2_version": "0"},
)
"""At 24 kHz: first bytes after 1,728 samples (72 ms), then more every 576 or 1,152.

A whole file has an Info frame, so that players skip the encoder's delay of 1,105 samples at the
start and the padding at the end. A stream has none, and starts with 46 ms of silence.
"""

OPUS = AvFormat(
    muxer="ogg",
    codec="libopus",
    sample_format="s16",
    bit_rate=32_000,
    # `voip` filters for intelligibility in a call; the audio should sound as it was generated.
    codec_options={"application": "audio"},
    # One page per packet of 20 ms. Pages of 60 ms would save a sixth of the bytes, but delay the
    # first audio to 120 ms.
    streamed_muxer_options={"page_duration": "20000"},
)
"""Ogg holds back one page: first audio after 960 samples (40 ms), then more every 480."""

AAC = AvFormat(muxer="adts", codec="aac", sample_format="fltp", bit_rate=64_000)
"""First bytes after 2,048 samples (85 ms), then more every 1,024 (43 ms).

ADTS cannot store its length or padding: the file starts with 1,024 samples of silence, and the last
frame is padded.
"""

FLAC = AvFormat(
    muxer="flac",
    codec="flac",
    sample_format="s16",
    # 24 ms at 24 kHz. ffmpeg's default there, 2,304, delays by 96 ms and saves half a percent; 192
    # costs a tenth more bytes.
    codec_options={"frame_size": "576"},
    # ffmpeg reserves 8 KiB for tags, which are never written.
    muxer_options={"metadata_header_padding": "0"},
)
"""First bytes after 576 samples, then more every 576. A stream has no length and no checksum."""


class _Pipe(io.BytesIO):
    """An unseekable buffer: a muxer cannot go back and change what it has written."""

    def seekable(self) -> bool:
        return False


class AvEncoder:
    """Encodes one file; returns bytes as the codec produces them if streamed, else all at `flush`.

    Need not be closed. Without any samples, streamed mp3 and aac are empty, a whole mp3 is its Info
    frame alone, and opus and flac are their headers; only the flac is valid, and none is playable.
    """

    def __init__(self, form: AvFormat, sample_rate: int, *, is_streamed: bool) -> None:
        self._form = form
        self._sample_rate = sample_rate
        self._is_streamed = is_streamed
        self._file = _Pipe() if is_streamed else io.BytesIO()
        options = muxer_options(form, is_streamed=is_streamed)
        self._container = av.open(self._file, "w", format=form.muxer, container_options=options)
        # Container and stream refer to each other: without closing, they are freed only by the
        # garbage collector, which is too late for the 7 MB of a flac encoder.
        weakref.finalize(self, self._container.close)
        self._stream = self._container.add_stream(
            form.codec, rate=sample_rate, options=form.codec_options, layout="mono"
        )
        self._codec = self._stream.codec_context
        self._codec.format = form.sample_format
        self._codec.bit_rate = form.bit_rate
        self._codec.thread_count = 1
        self._container.start_encoding()
        self._waiting = np.zeros(0, dtype=np.int16)
        self._num_encoded = 0

    def feed(self, samples: Samples) -> bytes:
        """Returns the bytes that these samples complete, or nothing if it is not streamed."""
        samples_16 = np.concatenate([self._waiting, to_int16(samples)])
        block_samples = self._codec.frame_size
        end = samples_16.size - samples_16.size % block_samples
        for start in range(0, end, block_samples):
            self._encode(samples_16[start : start + block_samples])
        self._waiting = samples_16[end:].copy()
        return self._take() if self._is_streamed else b""

    def flush(self) -> bytes:
        """Returns the remaining bytes; the encoder accepts no samples after that."""
        if self._waiting.size:
            self._encode(self._waiting)
        self._send(None)
        self._container.close()
        return self._take()

    def _encode(self, block: npt.NDArray[np.int16]) -> None:
        sample_format = self._form.sample_format
        values = block / np.float32(32768) if sample_format == "fltp" else block
        frame = av.AudioFrame.from_ndarray(values[np.newaxis], sample_format, "mono")
        frame.sample_rate = self._sample_rate
        frame.pts = self._num_encoded
        self._num_encoded += block.size
        self._send(frame)

    def _send(self, frame: av.AudioFrame | None) -> None:
        # The public `encode` adds a filter graph before the codec, and each graph starts a thread
        # per core. The blocks already have the codec's size and format, so none is needed.
        for packet in self._codec._send_frame_and_recv(frame):  # type: ignore[attr-defined]
            packet.stream = self._stream
            packet.time_base = Fraction(1, self._sample_rate)
            self._container.mux_one(packet)

    def _take(self) -> bytes:
        data = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        return data


def muxer_options(form: AvFormat, *, is_streamed: bool) -> dict[str, str]:
    """Returns ffmpeg options that make the same samples always give the same bytes."""
    # Without `bitexact`, Ogg streams get random serial numbers and files the version of ffmpeg.
    always = {"fflags": "+bitexact", **form.muxer_options}
    return always | form.streamed_muxer_options if is_streamed else always
