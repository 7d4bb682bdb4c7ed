"""One HTTP request and all that came back, as values: how its caller behaved, what it saw."""

from collections.abc import Mapping
from dataclasses import dataclass

from orpheus_server.bench.client.player import Piece


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a caller reads; by default to the end, as it comes."""

    cut_byte: int | None = None
    """Hangs up when so many bytes of a 200 have come."""

    hang_up_sec: float | None = None
    """Hangs up after so long a time, and at the latest when the headers of a 200 come."""

    resets: bool = False
    """Hangs up with RST instead of FIN."""

    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the caller saw; `total_sec` and the pieces are since the request was sent."""

    started_sec: float
    total_sec: float
    status: int | None
    """None: no headers came."""

    headers: Mapping[str, str]
    pieces: tuple[Piece, ...]
    body: bytes
    broken: str | None = None
    """What ended it before its end, without the caller's doing."""

    is_cut: bool = False
    """The caller hung up."""

    @property
    def first_byte_sec(self) -> float | None:
        """Of the body; headers do not count."""
        return self.pieces[0].at_sec if self.pieces else None
