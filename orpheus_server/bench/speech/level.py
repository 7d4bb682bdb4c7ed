"""One level of load: the length of the texts, and the number of users or the rate of requests."""

from dataclasses import dataclass

from orpheus_server.bench.client.texts import TextLength


@dataclass(frozen=True, slots=True)
class Level:
    """Either users in a closed loop or arrivals in an open loop. Every round has the same."""

    texts: TextLength
    concurrency: int | None = None
    rate_per_sec: float | None = None

    def __post_init__(self) -> None:
        assert (self.concurrency is None) != (self.rate_per_sec is None)

    @property
    def load(self) -> float:
        """The number of users or of requests a second."""
        load = self.concurrency if self.rate_per_sec is None else self.rate_per_sec
        assert load is not None
        return load

    @property
    def name(self) -> str:
        """Such as `short, 4 users` or `short, 2.5 requests/s`."""
        unit = "users" if self.rate_per_sec is None else "requests/s"
        return f"{self.texts}, {self.load:g} {unit}"
