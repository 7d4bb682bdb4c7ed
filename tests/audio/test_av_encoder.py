"""mp3, opus, aac and flac, decoded again by ffmpeg in this process."""

import gc
import hashlib
import io
from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt
import psutil
import pytest
from av.error import InvalidDataError

from orpheus_server.audio.av_encoder import FLAC
from orpheus_server.audio.encoders import Encoder, open_encoder
from orpheus_server.audio.samples import empty, to_int16
from orpheus_server.interfaces import Samples

RATE = 24_000
NAMES = ["mp3", "opus", "aac", "flac"]

# Silence that the codec itself adds before the first sample, if the file cannot declare it.
LEAD_SAMPLES = {("mp3", True): 1105, ("aac", True): 1024, ("aac", False): 1024}

# Samples per frame of the codec, and so the most padding after the last sample.
FRAME_SAMPLES = {"mp3": 576, "opus": 480, "aac": 1024, "flac": 576}


def voice(num_samples: int, *, sample_rate: int = RATE) -> Samples:
    """Harmonics with the envelope of syllables, gliding so that no two parts are the same."""
    seconds = np.arange(num_samples) / sample_rate
    phase = 2 * np.pi * (110 * seconds + 15 * np.square(seconds))
    harmonics = sum(np.sin(n * phase) / n for n in range(1, 12))
    envelope = 0.2 + 0.8 * np.square(np.sin(2 * np.pi * 1.5 * seconds))
    return np.asarray(0.3 * harmonics * envelope, dtype=np.float32)


def encode(name: str, samples: Samples, *, is_streamed: bool, sample_rate: int = RATE) -> bytes:
    encoder = open_encoder(name, sample_rate, is_streamed=is_streamed)
    return encoder.feed(samples) + encoder.flush()


def frames(data: bytes) -> Iterator[av.AudioFrame]:
    with av.open(io.BytesIO(data), "r") as container:
        yield from container.decode(audio=0)


def decode(data: bytes, *, may_break_off: bool = False) -> npt.NDArray[np.float64]:
    """Returns samples in [-1, 1] at the encoded rate; Opus always decodes at 48 kHz."""
    played = [np.zeros(0)]
    try:
        for frame in frames(data):
            values = frame.to_ndarray().reshape(-1)
            scale = 32768 if values.dtype == np.int16 else 1
            step = 2 if b"OpusHead" in data[:64] else 1
            played.append(values[::step] / scale)
    except InvalidDataError:
        assert may_break_off
    return np.concatenate(played)


def decode_16(data: bytes) -> npt.NDArray[np.int16]:
    values = [frame.to_ndarray().reshape(-1) for frame in frames(data)]
    assert all(value.dtype == np.int16 for value in values)
    return np.concatenate([np.zeros(0, dtype=np.int16), *values])


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("num_samples", [1, 15, 575, 576, 577, 20_000])
def test_flac_is_lossless(num_samples: int, is_streamed: bool) -> None:
    samples = 4 * voice(num_samples)
    assert np.abs(samples).max() > 1 or num_samples < 20_000, "clips"
    data = encode("flac", samples, is_streamed=is_streamed)
    assert np.array_equal(decode_16(data), to_int16(samples))


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("name", ["mp3", "opus", "aac"])
def test_lossy_formats_preserve_the_waveform(name: str, is_streamed: bool) -> None:
    samples = voice(2 * RATE)
    data = encode(name, samples, is_streamed=is_streamed)
    lead = LEAD_SAMPLES.get((name, is_streamed), 0)
    played = decode(data)[lead:][: samples.size]
    assert np.corrcoef(played, samples)[0, 1] > 0.99
    # LAME scales everything to 95 % to avoid new clipping.
    assert np.std(played) == pytest.approx(
        np.std(samples) * (0.95 if name == "mp3" else 1), rel=0.01
    )


@pytest.mark.parametrize("num_samples", [479, 5000, 48_001])
@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_length(name: str, is_streamed: bool, num_samples: int) -> None:
    """Exact to the sample if the format can store it, else padded to whole frames."""
    played = decode(encode(name, voice(num_samples), is_streamed=is_streamed))
    surplus = played.size - num_samples
    if (name, is_streamed) in LEAD_SAMPLES:
        assert 0 <= surplus - LEAD_SAMPLES[name, is_streamed] < 2 * FRAME_SAMPLES[name]
    else:
        assert surplus == 0


@pytest.mark.parametrize(
    ("name", "sample_rates"),
    [
        ("mp3", [8000, 16_000, 22_050, 44_100, 48_000]),
        ("opus", [8000, 16_000, 48_000]),
        ("aac", [8000, 16_000, 22_050, 44_100, 48_000]),
        ("flac", [8000, 11_025, 22_050, 44_100, 48_000, 96_000]),
    ],
)
def test_other_sample_rates(name: str, sample_rates: list[int]) -> None:
    for sample_rate in sample_rates:
        samples = voice(sample_rate, sample_rate=sample_rate)
        data = encode(name, samples, is_streamed=False, sample_rate=sample_rate)
        decoded = list(frames(data))
        played_sec = sum(frame.samples / frame.sample_rate for frame in decoded)
        assert {frame.sample_rate for frame in decoded} == {
            48_000 if name == "opus" else sample_rate
        }
        assert played_sec == pytest.approx(1, abs=0.3 if name == "aac" else 1e-9)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_an_unsupported_sample_rate(is_streamed: bool) -> None:
    with pytest.raises(ValueError, match="libopus"):
        open_encoder("opus", 44_100, is_streamed=is_streamed)


@pytest.mark.parametrize(
    ("name", "first", "then"),
    [("mp3", 1728, 1152), ("opus", 960, 480), ("aac", 2048, 1024), ("flac", 576, 576)],
)
def test_bytes_are_returned_during_the_stream(name: str, first: int, then: int) -> None:
    """A muxer that waits for a full page or buffer would delay a second of audio, or all of it."""
    samples = voice(RATE)
    encoder = open_encoder(name, RATE, is_streamed=True)
    header = encoder.feed(samples[: first - 1])
    assert len(header) == {"mp3": 0, "opus": 97, "aac": 0, "flac": 60}[name]
    data = encoder.feed(samples[first - 1 : first])
    assert data != b""
    data = header + data
    for start in range(first, RATE - then, then):
        more = encoder.feed(samples[start : start + then])
        assert more != b""
        data += more
    assert decode(data).size > 0.9 * RATE


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_file_is_returned_at_the_end(name: str) -> None:
    encoder = open_encoder(name, RATE, is_streamed=False)
    assert encoder.feed(voice(RATE)) == b""
    assert decode(encoder.flush()).size >= RATE


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_stream_plays_up_to_the_cut(name: str) -> None:
    """The client disconnects, or the connection breaks in the middle of a frame."""
    data = encode(name, voice(2 * RATE), is_streamed=True)
    whole = decode(data)
    cut = decode(data[: len(data) // 2], may_break_off=True)
    good = cut.size - 2 * FRAME_SAMPLES[name]
    assert good > 0.4 * whole.size
    assert np.array_equal(cut[:good], whole[:good])


def test_mp3_headers() -> None:
    """The Info frame stores frames, bytes, delay and padding, which players otherwise guess."""
    whole = encode("mp3", voice(RATE), is_streamed=False)
    assert whole[:2] == b"\xff\xf3"
    assert whole[13:17] == b"Info"
    assert int.from_bytes(whole[25:29], "big") == len(whole)
    assert encode("mp3", voice(RATE), is_streamed=True) == whole[192:]


def test_aac_is_adts_either_way() -> None:
    streamed = encode("aac", voice(RATE), is_streamed=True)
    assert streamed[:2] == b"\xff\xf1"
    assert encode("aac", voice(RATE), is_streamed=False) == streamed


def test_opus_headers() -> None:
    """One page per packet in a stream; the same packets and fewer pages in a file."""
    streamed = encode("opus", voice(RATE), is_streamed=True)
    whole = encode("opus", voice(RATE), is_streamed=False)
    for data in (streamed, whole):
        assert data[:4] == b"OggS"
        assert data[28:36] == b"OpusHead"
        assert data.count(b"OpusTags") == 1
    # Two for headers, 50 for 20 ms each, and one for the codec's own delay.
    assert streamed.count(b"OggS") == 53
    assert whole.count(b"OggS") < 6
    assert np.array_equal(decode(streamed), decode(whole))


def test_flac_headers() -> None:
    """A file stores the number of samples and their checksum; a stream has zeros for "unknown"."""
    samples = voice(20_000)
    whole = encode("flac", samples, is_streamed=False)
    streamed = encode("flac", samples, is_streamed=True)
    assert flac_num_samples(whole) == 20_000
    assert whole[26:42] == hashlib.md5(to_int16(samples).tobytes()).digest()
    assert flac_num_samples(streamed) == 0
    assert streamed[26:42] == bytes(16)
    assert streamed[42:] == whole[42:]


def flac_num_samples(data: bytes) -> int:
    """Reads 36 bits of STREAMINFO (RFC 9639, 8.2)."""
    assert data[:4] == b"fLaC"
    return int.from_bytes(data[21:26], "big") & (1 << 36) - 1


@pytest.mark.parametrize(
    ("name", "num_streamed_bytes", "num_whole_bytes"),
    [("mp3", 0, 192), ("opus", 97, 97), ("aac", 0, 0), ("flac", 60, 60)],
)
def test_encoding_no_samples(name: str, num_streamed_bytes: int, num_whole_bytes: int) -> None:
    assert len(encode(name, empty(), is_streamed=True)) == num_streamed_bytes
    assert len(open_encoder(name, RATE, is_streamed=True).flush()) == num_streamed_bytes
    assert len(open_encoder(name, RATE, is_streamed=False).flush()) == num_whole_bytes


def test_an_empty_flac_can_be_read() -> None:
    assert decode_16(open_encoder("flac", RATE, is_streamed=False).flush()).size == 0


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_dropped_encoder_leaks_nothing(name: str, is_streamed: bool) -> None:
    """PyAV's objects refer to each other: without closing, 200 flac encoders held 1.4 GB until the
    next garbage collection. PyAV's `encode` also started a thread per core for each of them."""
    process = psutil.Process()
    before = (process.num_threads(), process.num_fds())
    samples = voice(5000)
    gc.freeze()
    gc.disable()
    try:
        for _ in range(50):
            encoder = half_used(name, samples, is_streamed=is_streamed)
            assert (process.num_threads(), process.num_fds()) == before
            del encoder
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert (process.num_threads(), process.num_fds()) == before


def half_used(name: str, samples: Samples, *, is_streamed: bool) -> Encoder:
    encoder = open_encoder(name, RATE, is_streamed=is_streamed)
    encoder.feed(samples)
    return encoder


def test_an_encoder_that_cannot_be_opened_leaks_nothing() -> None:
    gc.freeze()
    gc.disable()
    try:
        for _ in range(10):
            with pytest.raises(ValueError, match="libopus"):
                open_encoder("opus", 44_100, is_streamed=True)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_concurrent_encoders_do_not_mix() -> None:
    samples = voice(6000)
    encoders = [open_encoder(name, RATE, is_streamed=True) for name in NAMES * 3]
    streams = [b""] * len(encoders)
    for start in range(0, samples.size, 1000):
        for index, encoder in enumerate(encoders):
            streams[index] += encoder.feed(samples[start : start + 1000])
    streams = [data + encoder.flush() for data, encoder in zip(streams, encoders, strict=True)]
    assert streams == [encode(name, samples, is_streamed=True) for name in NAMES * 3]


def test_a_flac_file_is_barely_larger_than_with_long_frames() -> None:
    """The short frames that streams need cost next to nothing, so files use them too."""
    assert FLAC.codec_options["frame_size"] == str(FRAME_SAMPLES["flac"])
    assert len(encode("flac", voice(RATE), is_streamed=False)) < 2 * RATE
