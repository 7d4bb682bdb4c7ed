"""How many chunks can be spoken at once in real time: measured at the start, followed ever since.

A step of the engine costs a fixed part and a part for each generation in it, and so does all that
comes after, so the real-time factor of a chunk is a line over the number that are spoken at once.
The start measures the line; what is spoken later moves it up and down as a whole.
"""

from collections.abc import Callable
from dataclasses import dataclass

REAL_TIME_SHARE = 0.6
"""Real-time factor up to which callers are admitted. Higher, and a text of several chunks, of which
two are made at once at times, has its player run dry; lower, and callers wait without need."""

MIN_MEASURED_SEC = 1.0
"""Shorter chunks take most of their time to begin."""

MIN_UNFINISHED_SEC = 3.0
"""A chunk that nobody waited for any longer tells something once it has taken so long."""

_FIRST_AUDIO_SEC = 0.1
"""Taken for what was made where nothing was."""

_FIXED_SHARE = 0.3
"""Of the real-time factor at full load, where nothing was measured: 0.25 of 0.69 on two cores."""

_LEAST_SLOPE_SHARE = 0.01
"""Of the factor alone: noise may measure a second generation as free, but it is not."""

_FOLLOW_SHARE = 0.3
_MIN_CHUNKS = 4
_LEAST_LOAD = 0.25
_MOST_AT_ONCE = 2.0
"""All chunks that are spoken at once move the line together by this share of what they differ (a
few alone by less), and each counts as no more than twice slower or faster: a neighbour's burst on
the machine, which all of them feel, is not its capacity."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A chunk that was spoken beside others: how many on average, itself included, and its RTF."""

    num_at_once: float
    real_time_factor: float


class Capacity:
    """Chunks at once in real time, at least 1 and at most `ceiling`."""

    def __init__(self, *, ceiling: int) -> None:
        self._ceiling = ceiling
        self._fixed = _FIXED_SHARE * REAL_TIME_SHARE
        self._slope = (REAL_TIME_SHARE - self._fixed) / ceiling
        self._scale = 1.0
        self._probe: list[Measurement] | None = None

    @property
    def num_streams(self) -> int:
        """As many as are spoken in real time, with some air."""
        num = (REAL_TIME_SHARE / self._scale - self._fixed) / self._slope
        # A hair more than a whole number is that number.
        return max(1, min(self._ceiling, int(num + 1e-9)))

    def begin_probe(self) -> None:
        """What is observed from now on is for the line alone."""
        self._probe = []

    def end_probe(self) -> None:
        """Lays the line through what was observed: least squares over the number at once."""
        points, self._probe = self._probe or [], None
        if not points:
            return
        mean_num = sum(point.num_at_once for point in points) / len(points)
        mean_factor = sum(point.real_time_factor for point in points) / len(points)
        over = sum((point.num_at_once - mean_num) ** 2 for point in points)
        along = sum(
            (point.num_at_once - mean_num) * (point.real_time_factor - mean_factor)
            for point in points
        )
        if over < 1.0:
            # All at the same number: the line keeps its shape and goes through them.
            self._scale = mean_factor / (self._fixed + self._slope * mean_num)
            return
        alone = min(point.real_time_factor for point in points)
        self._slope = max(along / over, _LEAST_SLOPE_SHARE * alone)
        self._fixed = max(0.0, mean_factor - self._slope * mean_num)
        self._scale = 1.0

    def observe_finished(self, elapsed_sec: float, audio_sec: float, num_at_once: float) -> None:
        """A chunk was spoken in one attempt, beside so many on average, itself included."""
        if audio_sec >= MIN_MEASURED_SEC:
            self._observe(Measurement(num_at_once, elapsed_sec / audio_sec))

    def observe_unfinished(self, elapsed_sec: float, audio_sec: float, num_at_once: float) -> None:
        """One was given up: it tells something if it was slower than speech already.

        Without these a machine on which no chunk is ever finished in time would never be known.
        """
        if elapsed_sec < MIN_UNFINISHED_SEC:
            return
        least = Measurement(num_at_once, elapsed_sec / max(audio_sec, _FIRST_AUDIO_SEC))
        if least.real_time_factor > max(1.0, self._expected(num_at_once)):
            self._observe(least)

    def _observe(self, measurement: Measurement) -> None:
        if self._probe is not None:
            self._probe.append(measurement)
            return
        ratio = measurement.real_time_factor / self._expected(measurement.num_at_once)
        ratio = min(_MOST_AT_ONCE, max(1 / _MOST_AT_ONCE, ratio))
        # At little load the fixed part alone is seen: it tells less.
        load = max(_LEAST_LOAD, min(1.0, measurement.num_at_once / self.num_streams))
        weight = load * _FOLLOW_SHARE / max(_MIN_CHUNKS, measurement.num_at_once)
        self._scale *= 1 + weight * (ratio - 1)

    def _expected(self, num_at_once: float) -> float:
        return self._scale * (self._fixed + self._slope * num_at_once)


class LoadMeter:
    """Counts chunks that are spoken now, and how many there were on average during each of them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed_at = clock()
        self._chunk_sec = 0.0
        self.num_now = 0

    def begin(self) -> tuple[float, float]:
        """One more; what `end` wants."""
        started = self._count(1)
        return started, self._chunk_sec

    def end(self, begun: tuple[float, float]) -> tuple[float, float]:
        """One less; how long it took in seconds, and how many there were on average."""
        started, chunk_sec = begun
        elapsed_sec = self._count(-1) - started
        mean = (self._chunk_sec - chunk_sec) / elapsed_sec if elapsed_sec > 0 else 1.0
        return elapsed_sec, mean

    def _count(self, change: int) -> float:
        now = self._clock()
        self._chunk_sec += self.num_now * (now - self._changed_at)
        self._changed_at = now
        self.num_now += change
        return now
