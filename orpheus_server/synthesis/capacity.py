"""How many chunks can be synthesised at once in real time: measured at start-up, then adjusted.

A step of the engine has a fixed cost and a cost for each generation in it, and so has all later
work, so the real-time factor (RTF) of a chunk is a linear function of the number of chunks at once.
Start-up measures the line; chunks synthesised later scale it as a whole.
"""

from collections.abc import Callable
from dataclasses import dataclass

REAL_TIME_SHARE = 0.6
"""RTF up to which requests are admitted. Higher, and the player of a text of several chunks, two of
which are synthesised at once at times, runs out of audio; lower, and requests wait needlessly."""

MIN_MEASURED_SEC = 1.0
"""Shorter chunks spend most of their time starting."""

MIN_UNFINISHED_SEC, MIN_PROBED_SEC = 3.0, 0.5
"""Cancelled chunks are measured only after this time, the second one during the probe."""

LEAST_GAIN = 0.05
"""One more chunk at once that raises the throughput by less only delays the others."""

_FIRST_AUDIO_SEC = 0.1
"""Assumed for a cancelled chunk without any audio."""

_FIXED_SHARE = 0.3
"""Of the RTF at full load if nothing was measured: 0.25 of 0.69 on two cores."""

_LEAST_SLOPE_SHARE = 0.01
"""Of the RTF of a chunk alone: noise may make a second generation look free, but it is not."""

_FOLLOW_SHARE = 0.3
_MIN_CHUNKS = 4
_LEAST_LOAD = 0.25
_MOST_AT_ONCE = 1.3
"""All chunks at once move the line by `_FOLLOW_SHARE` of their deviation from it (few chunks by
less), and each counts as at most so many times slower or faster: one slow moment of the machine
slows all of them, but moves the capacity by a tenth at most. A lasting change is followed within a
minute."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The RTF of a chunk, and the mean number of chunks at the same time, itself included."""

    num_at_once: float
    real_time_factor: float


class Capacity:
    """Number of chunks at once in real time, from 1 to `ceiling`."""

    def __init__(self, *, ceiling: int) -> None:
        self._ceiling = ceiling
        self._num_slots: Callable[[], int | None] | None = None
        self._fixed = _FIXED_SHARE * REAL_TIME_SHARE
        self._slope = (REAL_TIME_SHARE - self._fixed) / ceiling
        self._scale = 1.0
        self._probe: list[Measurement] | None = None

    def limit_to(self, num_slots: Callable[[], int | None]) -> None:
        """Lowers the ceiling to the generations that the engine runs at once, None if unknown.

        Further ones would wait in the engine, out of turn, and look as if they were slow.
        """
        self._num_slots = num_slots

    @property
    def ceiling(self) -> int:
        """Largest number of chunks at once, however fast the machine is."""
        num_slots = None if self._num_slots is None else self._num_slots()
        return self._ceiling if num_slots is None else max(1, min(self._ceiling, num_slots))

    @property
    def num_streams(self) -> int:
        """Largest number of chunks at once whose RTF is at most `REAL_TIME_SHARE`."""
        num = (REAL_TIME_SHARE / self._scale - self._fixed) / self._slope
        # Rounding errors just below a whole number must not cost a stream.
        return max(1, min(self.ceiling, int(num + 1e-9)))

    @property
    def num_ahead(self) -> int:
        """Chunks at once from which one more raises the throughput by less than `LEAST_GAIN`."""
        num, ceiling = 1, self.ceiling
        while num < ceiling and self._gain(num) >= LEAST_GAIN:
            num += 1
        return num

    def _gain(self, num: int) -> float:
        """By which share one more than `num` generations raise the throughput."""
        return self._fixed / (num * (self._fixed + self._slope * (num + 1)))

    def begin_probe(self) -> None:
        """Collects the measurements from now on to fit the line."""
        self._probe = []

    def end_probe(self) -> None:
        """Fits the line to the collected measurements by least squares over the number at once."""
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
            # All at about the same number: scales the line to go through them.
            self._scale = mean_factor / (self._fixed + self._slope * mean_num)
            return
        alone = min(point.real_time_factor for point in points)
        self._slope = max(along / over, _LEAST_SLOPE_SHARE * alone)
        self._fixed = max(0.0, mean_factor - self._slope * mean_num)
        self._scale = 1.0

    def observe_finished(self, elapsed_sec: float, audio_sec: float, num_at_once: float) -> None:
        """Measures a chunk that took one attempt; `num_at_once` is the mean, itself included."""
        if audio_sec >= MIN_MEASURED_SEC:
            self._observe(Measurement(num_at_once, elapsed_sec / audio_sec))

    def observe_unfinished(self, elapsed_sec: float, audio_sec: float, num_at_once: float) -> None:
        """Measures a cancelled chunk if it was slower than real time, in the probe in any case.

        Otherwise a machine too slow to finish any chunk in time would never be recognised.
        """
        least = Measurement(num_at_once, elapsed_sec / max(audio_sec, _FIRST_AUDIO_SEC))
        if self._probe is not None:
            if elapsed_sec >= MIN_PROBED_SEC:
                self._observe(least)
            return
        if elapsed_sec < MIN_UNFINISHED_SEC:
            return
        if least.real_time_factor > max(1.0, self._expected(num_at_once)):
            self._observe(least)

    def _observe(self, measurement: Measurement) -> None:
        if self._probe is not None:
            self._probe.append(measurement)
            return
        ratio = measurement.real_time_factor / self._expected(measurement.num_at_once)
        ratio = min(_MOST_AT_ONCE, max(1 / _MOST_AT_ONCE, ratio))
        # At low load the fixed cost dominates, which says less about the capacity.
        load = max(_LEAST_LOAD, min(1.0, measurement.num_at_once / self.num_streams))
        weight = load * _FOLLOW_SHARE / max(_MIN_CHUNKS, measurement.num_at_once)
        self._scale *= 1 + weight * (ratio - 1)

    def _expected(self, num_at_once: float) -> float:
        return self._scale * (self._fixed + self._slope * num_at_once)


class LoadMeter:
    """Counts the chunks that are being synthesised, now and on average during each chunk."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed_at = clock()
        self._chunk_sec = 0.0
        self.num_now = 0

    def begin(self) -> tuple[float, float]:
        """Counts one more chunk; returns the argument for `end`."""
        started = self._count(1)
        return started, self._chunk_sec

    def end(self, begun: tuple[float, float]) -> tuple[float, float]:
        """Counts one chunk less; returns its seconds and the mean number of chunks meanwhile."""
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
