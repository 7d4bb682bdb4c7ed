"""Encodes a stream in base64 so that the strings, joined, are the encoding of the whole."""

import base64

_BLOCK_BYTES = 6
"""Three bytes make four characters without padding, and two bytes are a sample."""


class Base64Stream:
    """Encodes bytes that arrive in pieces; only the string from `flush` may have padding.

    Each string holds whole 16-bit samples if the joined bytes do.
    """

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> str:
        """Returns the next string, empty if there are too few bytes."""
        data = self._held + data
        end = len(data) - len(data) % _BLOCK_BYTES
        self._held = data[end:]
        return base64.b64encode(data[:end]).decode()

    def flush(self) -> str:
        """Returns the last string, empty if nothing is left."""
        held, self._held = self._held, b""
        return base64.b64encode(held).decode()
