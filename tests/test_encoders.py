"""Bytes of every format, read back by the standard library."""

import io
import struct
import wave

import numpy as np
import pytest

from orpheus_server.audio import Samples, empty
from orpheus_server.encoders import FORMATS, PcmEncoder, WavEncoder, open_encoder, wav_header

SAMPLES: Samples = np.array([0.0, 1.0, -1.0, 0.5, 2.0], dtype=np.float32)
PCM = struct.pack("<5h", 0, 32767, -32767, 16384, 32767)


def test_pcm_is_little_endian_as_it_comes() -> None:
    encoder = PcmEncoder()
    assert encoder.feed(SAMPLES[:2]) == PCM[:4]
    assert encoder.feed(empty()) == b""
    assert encoder.feed(SAMPLES[2:]) == PCM[4:]
    assert encoder.flush() == b""


@pytest.mark.parametrize("pieces", [(5,), (1, 4), (2, 0, 3)])
def test_wav_has_true_sizes(pieces: tuple[int, ...]) -> None:
    """Earlier servers streamed a header with a length of zero or 4 GiB as the whole file."""
    encoder = WavEncoder(24_000)
    start = 0
    for size in pieces:
        assert encoder.feed(SAMPLES[start : start + size]) == b""
        start += size
    data = encoder.flush()
    assert data[:4] == b"RIFF"
    assert struct.unpack("<I", data[4:8]) == (len(data) - 8,)
    with wave.open(io.BytesIO(data)) as file:
        assert file.getframerate() == 24_000
        assert file.getnchannels() == 1
        assert file.getsampwidth() == 2
        assert file.getnframes() == 5
        assert file.readframes(99) == PCM


def test_empty_wav() -> None:
    with wave.open(io.BytesIO(WavEncoder(24_000).flush())) as file:
        assert file.getnframes() == 0


def test_header() -> None:
    expected = (
        b"RIFF\x2e\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
        b"\xc0\x5d\x00\x00\x80\xbb\x00\x00\x02\x00\x10\x00data\x0a\x00\x00\x00"
    )
    assert wav_header(24_000, num_data_bytes=10) == expected


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [("wav", "audio/wav", WavEncoder), ("pcm", "audio/pcm", PcmEncoder)],
)
def test_formats(name: str, media_type: str, kind: type) -> None:
    assert FORMATS[name].name == name
    assert FORMATS[name].media_type == media_type
    assert type(open_encoder(name, 24_000)) is kind
    assert len(FORMATS) == 2


def test_an_unknown_format_is_no_pcm() -> None:
    """Every name but "wav" got raw samples: an mp3 player makes noise of them."""
    with pytest.raises(KeyError):
        open_encoder("mp3", 24_000)
