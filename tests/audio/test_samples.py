"""Empty samples, and conversion to 16 bits."""

import numpy as np

from orpheus_server.audio.samples import empty, to_int16
from orpheus_server.interfaces import Samples


def samples_of(*values: float) -> Samples:
    return np.array(values, dtype=np.float32)


def test_empty() -> None:
    assert empty().shape == (0,)
    assert empty().dtype == np.float32


def test_to_int16() -> None:
    """Values beyond full scale are clipped; orpheus-speech wraps 1.5 * 32767 to a loud click."""
    samples = samples_of(0.0, 1.0, -1.0, 1.5, -7.0, 0.5, 1.4 / 32767, 1.6 / 32767, -1.6 / 32767)
    assert to_int16(samples).tolist() == [0, 32767, -32767, 32767, -32767, 16384, 1, 2, -2]
    assert to_int16(samples).dtype == np.int16
