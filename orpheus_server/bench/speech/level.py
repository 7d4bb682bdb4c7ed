"""One level of load: the length of the texts and the number of users."""

from dataclasses import dataclass

from orpheus_server.bench.client.texts import TextLength


@dataclass(frozen=True, slots=True)
class Level:
    """The requests of one level, of which every round has the same."""

    texts: TextLength
    concurrency: int

    @property
    def name(self) -> str:
        """Such as `short, 4 users`."""
        return f"{self.texts}, {self.concurrency} users"
