"""The last steps of a response's audio: changing its speed, then encoding it."""

import numpy as np

from orpheus_server.audio.encoders import open_encoder
from orpheus_server.audio.tempo import TempoFilter
from orpheus_server.interfaces import Samples


class Renderer:
    """Turns samples into bytes of a format; its methods run in the worker pool."""

    def __init__(
        self, response_format: str, *, speed: float, sample_rate: int, is_streamed: bool
    ) -> None:
        self._tempo = None
        if speed != 1.0:
            self._tempo = TempoFilter(speed=speed, sample_rate=sample_rate)
        self._sample_rate = sample_rate
        self._encoder = open_encoder(response_format, sample_rate, is_streamed=is_streamed)
        self.num_samples = 0

    def feed(self, samples: Samples) -> bytes:
        """Returns the bytes that these samples complete."""
        if self._tempo is not None:
            samples = self._tempo.feed(samples)
        self.num_samples += samples.size
        return self._encoder.feed(samples)

    def flush(self, *, silence_sec: float = 0.0) -> bytes:
        """Returns the last bytes; without any samples, those of silence of this length.

        The silence is not counted in `num_samples`, and `speed` does not change it.
        """
        data = b""
        if self._tempo is not None:
            rest = self._tempo.flush()
            self.num_samples += rest.size
            data = self._encoder.feed(rest)
        if silence_sec and self.num_samples == 0:
            silence = np.zeros(round(silence_sec * self._sample_rate), dtype=np.float32)
            data += self._encoder.feed(silence)
        return data + self._encoder.flush()
