"""A renderer applies the speed filter, then the encoder, and counts the resulting samples."""

from itertools import pairwise

import numpy as np
import pytest

from orpheus_server.audio.encoders import FORMATS, PcmEncoder, open_encoder, wav_header
from orpheus_server.audio.rendering import Renderer
from orpheus_server.audio.samples import empty
from tests.support.app import change_tempo

RATE = 24_000
SAMPLES = (0.5 * np.sin(np.arange(30_000) / 17)).astype(np.float32)


def open_renderer(
    response_format: str, *, speed: float = 1.0, is_streamed: bool = True
) -> Renderer:
    return Renderer(response_format, speed=speed, sample_rate=RATE, is_streamed=is_streamed)


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("speed", [0.25, 1.0, 1.5, 4.0])
@pytest.mark.parametrize("name", FORMATS)
def test_bytes_are_those_of_the_slower_or_faster_samples(
    name: str, speed: float, is_streamed: bool
) -> None:
    """However the samples are split."""
    renderer = open_renderer(name, speed=speed, is_streamed=is_streamed)
    edges = [0, 1, 1, 1024, 5000, 5000, 20_001, SAMPLES.size]
    data = b"".join(renderer.feed(SAMPLES[start:end]) for start, end in pairwise(edges))
    data += renderer.flush()
    encoder = open_encoder(name, RATE, is_streamed=is_streamed)
    paced = change_tempo(SAMPLES, speed=speed, sample_rate=RATE)
    assert data == encoder.feed(paced) + encoder.flush()
    assert renderer.num_samples == paced.size == round(SAMPLES.size / speed)


def test_samples_are_counted_as_they_are_encoded() -> None:
    """Samples that the speed filter holds back have no bytes yet."""
    renderer = open_renderer("pcm", speed=2.0)
    counts = []
    num_bytes = 0
    for start in range(0, SAMPLES.size, 3000):
        num_bytes += len(renderer.feed(SAMPLES[start : start + 3000]))
        assert renderer.num_samples == num_bytes // 2
        counts.append(renderer.num_samples)
    assert counts == sorted(counts)
    assert 0 < counts[-1] < 15_000
    num_bytes += len(renderer.flush())
    assert renderer.num_samples == num_bytes // 2 == 15_000


def test_at_normal_speed_nothing_is_held_back() -> None:
    renderer = open_renderer("pcm")
    assert renderer.feed(SAMPLES[:7]) == PcmEncoder().feed(SAMPLES[:7])
    assert (renderer.num_samples, renderer.flush()) == (7, b"")


@pytest.mark.parametrize("speed", [1.0, 2.0])
@pytest.mark.parametrize(
    ("is_streamed", "num_data_bytes"),
    [(True, None), (False, 0)],
)
def test_rendering_no_samples(speed: float, is_streamed: bool, num_data_bytes: int | None) -> None:
    """A valid file without samples, not a missing one."""
    renderer = open_renderer("wav", speed=speed, is_streamed=is_streamed)
    data = renderer.feed(empty()) + renderer.flush()
    assert data == wav_header(RATE, num_data_bytes=num_data_bytes)
    assert renderer.num_samples == 0


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("speed", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("name", FORMATS)
def test_silence_instead_of_no_samples(name: str, speed: float, is_streamed: bool) -> None:
    """An empty mp3 cannot be played, and libraries that decode audio reject it."""
    renderer = open_renderer(name, speed=speed, is_streamed=is_streamed)
    encoder = open_encoder(name, RATE, is_streamed=is_streamed)
    silence = encoder.feed(np.zeros(4800, dtype=np.float32)) + encoder.flush()
    assert renderer.flush(silence_sec=0.2) == silence
    assert renderer.num_samples == 0


def test_no_silence_after_samples() -> None:
    """Not even after a single one, which the speed filter holds back."""
    renderer = open_renderer("pcm", speed=1.5)
    assert renderer.feed(SAMPLES[:1]) == b""
    assert len(renderer.flush(silence_sec=0.2)) == 2
