"""One HTTP request as values: how the caller behaves and what it received."""

from collections.abc import Mapping
from dataclasses import dataclass

from orpheus_server.bench.client.player import Piece


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a caller reads the response: by default to the end, as fast as it arrives."""

    cut_byte: int | None = None
    """Hangs up after this many bytes of the body of a 200."""

    hang_up_sec: float | None = None
    """Hangs up after this time, or when the headers of a 200 arrive if that is earlier."""

    resets: bool = False
    """Hangs up with RST instead of FIN."""

    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the caller received; `total_sec` and the pieces are timed from sending the request."""

    started_sec: float
    total_sec: float
    status: int | None
    """None if no headers arrived."""

    headers: Mapping[str, str]
    pieces: tuple[Piece, ...]
    body: bytes
    broken: str | None = None
    """Why the exchange broke off, if the caller did not end it."""

    is_cut: bool = False
    """True if the caller hung up."""

    @property
    def first_byte_sec(self) -> float | None:
        """When the first byte of the body arrived; None if none did."""
        return self.pieces[0].at_sec if self.pieces else None
