"""The properties of an exchange."""

from orpheus_server.bench.client.exchange import Exchange
from orpheus_server.bench.client.player import Piece


def exchange(*pieces: Piece) -> Exchange:
    return Exchange(0.0, 3.0, 200, {}, pieces, b"")


def test_the_first_byte_is_the_first_of_the_body() -> None:
    assert exchange(Piece(1.5, 4), Piece(2.0, 4)).first_byte_sec == 1.5
    assert exchange().first_byte_sec is None
