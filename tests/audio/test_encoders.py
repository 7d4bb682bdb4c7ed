"""wav and pcm, read back by the standard library, and properties of every format."""

import io
import struct
import wave
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.audio.encoders import FORMATS, PcmEncoder, WavEncoder, open_encoder, wav_header
from orpheus_server.audio.samples import empty
from orpheus_server.interfaces import Samples

SAMPLES: Samples = np.array([0.0, 1.0, -1.0, 0.5, 2.0], dtype=np.float32)
PCM = struct.pack("<5h", 0, 32767, -32767, 16384, 32767)


def test_pcm_is_little_endian_and_not_held_back() -> None:
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


def test_a_streamed_wav_starts_with_the_first_samples() -> None:
    encoder = open_encoder("wav", 24_000, is_streamed=True)
    first = encoder.feed(SAMPLES[:2])
    assert first == wav_header(24_000, num_data_bytes=None) + PCM[:4]
    assert encoder.feed(SAMPLES[2:]) == PCM[4:]
    assert encoder.flush() == b""


def test_a_streamed_wav_does_not_state_its_length() -> None:
    """Both sizes are 0xFFFFFFFF; everything else is the same as in a file."""
    header = wav_header(24_000, num_data_bytes=None)
    known = wav_header(24_000, num_data_bytes=10)
    assert header[4:8] == header[40:44] == b"\xff\xff\xff\xff"
    assert len(header) == 44
    assert (header[:4], header[8:40]) == (known[:4], known[8:40])
    with wave.open(io.BytesIO(header + PCM)) as file:
        assert file.readframes(99) == PCM


def test_a_streamed_wav_without_samples_is_a_header() -> None:
    header = wav_header(24_000, num_data_bytes=None)
    assert open_encoder("wav", 24_000, is_streamed=True).flush() == header


def test_formats() -> None:
    table = [(form.name, form.media_type, form.streams_by_default) for form in FORMATS.values()]
    assert table == [
        ("wav", "audio/wav", False),
        ("pcm", "audio/pcm", True),
        ("mp3", "audio/mpeg", True),
        ("opus", "audio/opus", True),
        ("aac", "audio/aac", True),
        ("flac", "audio/flac", True),
    ]
    assert list(FORMATS) == [form.name for form in FORMATS.values()]


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 6000), max_size=6))
def test_pieces_are_encoded_like_the_whole(name: str, is_streamed: bool, cuts: list[int]) -> None:
    """ffmpeg makes one frame of each input, so other pieces would otherwise be other frames."""
    samples = (0.5 * np.sin(np.arange(6000) / 17)).astype(np.float32)
    whole = open_encoder(name, 24_000, is_streamed=is_streamed)
    expected = whole.feed(samples) + whole.flush()
    pieces = open_encoder(name, 24_000, is_streamed=is_streamed)
    edges = [0, *sorted(cuts), samples.size]
    data = b"".join(pieces.feed(samples[start:end]) for start, end in pairwise(edges))
    assert data + pieces.flush() == expected


def test_an_unknown_format_is_not_encoded_as_pcm() -> None:
    """Every name except "wav" got raw samples, which an ogg player plays as noise."""
    with pytest.raises(KeyError):
        open_encoder("ogg", 24_000, is_streamed=True)
