"""Changes pitch and formants by resampling."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


def raise_pitch(samples: Samples, factor: Fraction) -> Samples:
    """Raises pitch and formants by the factor; the result is shorter by it.

    Band-limited, by the spectrum of the whole utterance: its ends are silent, so that it may be
    periodic. Sample n of the result is at n * factor of the original.
    """
    if factor == 1:
        return samples
    num_periods = -(-len(samples) // factor.numerator)
    padded = np.pad(samples, (0, num_periods * factor.numerator - len(samples)))
    num_samples = num_periods * factor.denominator
    spectrum = np.fft.rfft(padded.astype(np.float64))[: num_samples // 2 + 1]
    scaled = np.fft.irfft(spectrum, num_samples) / float(factor)
    return scaled.astype(np.float32)
