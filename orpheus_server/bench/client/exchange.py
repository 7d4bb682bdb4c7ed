"""One HTTP request: how its client behaves, and the response that it received."""

from collections.abc import Mapping
from dataclasses import dataclass

from orpheus_server.bench.client.player import Piece


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a client reads the response: by default to the end, as fast as it arrives."""

    cut_byte: int | None = None
    """Hangs up after this many bytes of the body of a 200."""

    hang_up_sec: float | None = None
    """Hangs up after this time, or when the headers of a 200 arrive if that is earlier."""

    resets: bool = False
    """Hangs up with RST instead of FIN."""

    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """The received response; `total_sec` and the pieces are timed from sending the request."""

    started_sec: float
    total_sec: float
    status: int | None
    """None if no headers arrived."""

    headers: Mapping[str, str]
    pieces: tuple[Piece, ...]
    body: bytes
    broken: str | None = None
    """Why the exchange broke off, if the client did not hang up."""

    is_cut: bool = False
    """True if the client hung up."""

    @property
    def first_byte_sec(self) -> float | None:
        """When the first byte of the body arrived; None if none did."""
        return self.pieces[0].at_sec if self.pieces else None
