"""Decodes Ogg Opus with the libsndfile in soundfile's wheel, which needs no other package."""

import ctypes
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError

LIBRARY = Path("_soundfile_data") / "libsndfile_x86_64.so"
_READ = 0x10


class _Info(ctypes.Structure):
    """`SF_INFO`: http://libsndfile.github.io/libsndfile/api.html"""

    _fields_ = (
        ("frames", ctypes.c_int64),
        ("samplerate", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("format", ctypes.c_int),
        ("sections", ctypes.c_int),
        ("seekable", ctypes.c_int),
    )


class OpusDecoder:
    """Reads files with the library of a folder into which soundfile's wheel was unpacked."""

    def __init__(self, site_packages: Path) -> None:
        library = ctypes.CDLL(str(site_packages / LIBRARY))
        library.sf_open.restype = ctypes.c_void_p
        library.sf_open.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(_Info))
        library.sf_readf_short.restype = ctypes.c_int64
        library.sf_readf_short.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        library.sf_close.argtypes = (ctypes.c_void_p,)
        self._library = library

    def decode(self, path: Path, num_samples: int) -> npt.NDArray[np.int16]:
        """Returns that many samples at 24 kHz. Raises `TrainingError` for another file."""
        info = _Info()
        file = self._library.sf_open(str(path).encode(), _READ, ctypes.byref(info))
        if not file:
            raise TrainingError(f"{path} is cut or is not Opus")
        try:
            if (info.samplerate, info.channels) != (24_000, 1):
                raise TrainingError(f"{path} has {info.channels} channels at {info.samplerate} Hz")
            samples = np.zeros(num_samples, np.int16)
            pointer = samples.ctypes.data_as(ctypes.c_void_p)
            num_read = self._library.sf_readf_short(file, pointer, num_samples)
        finally:
            self._library.sf_close(file)
        if num_read != num_samples:
            raise TrainingError(f"{path} has {num_read} samples instead of {num_samples}")
        return samples
