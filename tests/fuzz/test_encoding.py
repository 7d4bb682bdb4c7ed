"""Encoding of any samples in any pieces: the same file as from one piece, with its length."""

import io
import math
import wave
from collections.abc import Sequence
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import strategies as st

from orpheus_server.audio.encoders import FORMATS
from orpheus_server.audio.rendering import Renderer
from orpheus_server.audio.samples import to_int16
from orpheus_server.interfaces import Samples
from tests.fuzz.examples import Effort, efforts

RATE = 24_000
NAMES = list(FORMATS)
LOSSLESS = ["pcm", "wav", "flac"]

# Samples before the audio in formats that have no field for it, and the size of the block to which
# the end is padded.
LEAD_SAMPLES = {"mp3": 1105, "aac": 1024}
BLOCK_SAMPLES = {"mp3": 576, "aac": 1024}

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
PIECES = st.lists(
    # Empty pieces, single samples and tones; louder than full scale, up to the largest float.
    st.lists(FINITE, max_size=3).map(lambda values: np.array(values, dtype=np.float32))
    | st.tuples(st.integers(0, 3000), st.floats(-4.0, 4.0)).map(
        lambda tone: (tone[1] * np.sin(np.arange(tone[0]) / 17)).astype(np.float32)
    ),
    max_size=6,
)


def render(pieces: Sequence[Samples], name: str, *, speed: float, is_streamed: bool) -> bytes:
    """Returns the file; asserts that `num_samples` fits `speed`."""
    renderer = Renderer(name, speed=speed, sample_rate=RATE, is_streamed=is_streamed)
    data = b"".join(renderer.feed(piece) for piece in pieces) + renderer.flush()
    assert renderer.num_samples == round(sum(piece.size for piece in pieces) / speed)
    return data


def decode(data: bytes, name: str) -> list[int]:
    """Returns the 16-bit samples that ffmpeg decodes; the format is named, not guessed."""
    with av.open(io.BytesIO(data), "r", format={"opus": "ogg"}.get(name, name)) as container:
        blocks = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return [int(value) for block in blocks for value in block]


def join(pieces: Sequence[Samples]) -> Samples:
    return np.concatenate([np.zeros(0, dtype=np.float32), *pieces])


@efforts(quick=15, slow=400)
@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_pieces_give_the_same_file(name: str, is_streamed: bool, effort: Effort) -> None:
    def check(pieces: list[Samples]) -> None:
        whole = render([join(pieces)], name, speed=1.0, is_streamed=is_streamed)
        assert render(pieces, name, speed=1.0, is_streamed=is_streamed) == whole

    effort.run(check, pieces=PIECES)


@efforts(quick=15, slow=400)
@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_keep_every_sample(name: str, is_streamed: bool, effort: Effort) -> None:
    def check(pieces: list[Samples]) -> None:
        data = render(pieces, name, speed=1.0, is_streamed=is_streamed)
        expected = to_int16(join(pieces))
        assert np.abs(expected.astype(int)).max(initial=0) <= 32767
        if name == "pcm":
            held = data
        elif name == "wav":
            with wave.open(io.BytesIO(data)) as file:
                held = file.readframes(expected.size + 9)
                assert is_streamed or file.getnframes() == expected.size
        elif not expected.size:
            return  # ffmpeg does not open a file of headers without frames.
        else:
            held = np.array(decode(data, name), dtype="<i2").tobytes()
        assert held == expected.astype("<i2").tobytes()

    effort.run(check, pieces=PIECES)


@efforts(quick=15, slow=300)
@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("name", ["mp3", "opus", "aac"])
def test_lossy_formats_keep_the_length(name: str, is_streamed: bool, effort: Effort) -> None:
    def check(pieces: list[Samples]) -> None:
        num_samples = join(pieces).size
        if not num_samples:
            return
        num_played = len(decode(render(pieces, name, speed=1.0, is_streamed=is_streamed), name))
        has_padding = name == "aac" or (name == "mp3" and is_streamed)
        if has_padding:
            surplus = num_played - num_samples - LEAD_SAMPLES[name]
            assert 0 <= surplus < 2 * BLOCK_SAMPLES[name]
        else:
            # ffmpeg decodes Opus at 48 kHz, and does not trim the last 2 ms of an mp3.
            surplus = num_played - (2 * num_samples if name == "opus" else num_samples)
            assert 0 <= surplus < (47 if name == "mp3" else 1)

    effort.run(check, pieces=PIECES)


@efforts(quick=25, slow=500)
def test_speed_with_any_pieces(effort: Effort) -> None:
    def check(samples: Samples, speed: float, places: list[int]) -> None:
        edges = [0, *sorted(place % (samples.size + 1) for place in places), samples.size]
        pieces = [samples[start:end] for start, end in pairwise(edges)]
        whole = render([samples], "pcm", speed=speed, is_streamed=True)
        assert render(pieces, "pcm", speed=speed, is_streamed=True) == whole
        assert len(whole) == 2 * round(samples.size / speed)

    effort.run(
        check,
        samples=st.tuples(st.integers(0, 6000), st.floats(-4.0, 4.0)).map(
            lambda tone: (tone[1] * np.sin(np.arange(tone[0]) / 17)).astype(np.float32)
        ),
        speed=st.floats(0.25, 4.0)
        | st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, math.nextafter(1, 2)]),
        places=st.lists(st.integers(0, 9999), max_size=5),
    )
