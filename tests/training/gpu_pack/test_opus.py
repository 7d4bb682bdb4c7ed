"""Tests of encoding Opus."""

import io

import av
import numpy as np
import numpy.typing as npt

from training.gpu_pack.opus import encode_opus


def decode(data: bytes) -> npt.NDArray[np.float32]:
    """Returns samples at Opus's own rate, 48 kHz."""
    with av.open(io.BytesIO(data), "r") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    samples: npt.NDArray[np.float32] = np.concatenate(frames)
    return samples


def test_speech_is_encoded_at_the_bit_rate_and_in_its_place() -> None:
    times = np.arange(24_000 * 8) / 24_000
    sweep = np.sin(2 * np.pi * (150 * times + 40 * times**2)) * np.sin(9 * times) ** 2
    samples = (8_000 * sweep).astype(np.int16)
    data = encode_opus(samples, bits_per_sec=20_000)
    assert 8 * len(data) / 8 < 25_000
    decoded = decode(data)[: 2 * len(samples) : 2]
    assert len(decoded) == len(samples)
    correlation = np.fft.irfft(np.fft.rfft(decoded) * np.fft.rfft(samples).conj())
    assert correlation.argmax() == 0
    assert np.corrcoef(decoded, samples)[0, 1] > 0.95
