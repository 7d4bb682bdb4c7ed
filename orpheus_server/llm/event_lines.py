"""The events of a streamed completion, cut out of the bytes that arrive."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

MAX_EVENT_BYTES = 1 << 20
"""A server that never ends a line must not fill the memory; a whole answer is shorter."""


class EventLines:
    """Takes bytes cut anywhere; each `data:` line is an event of its own.

    Everything else (comments that keep a connection alive, names, blank lines) is left out. Raises
    `ValueError` for a line that is too long or no UTF-8.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_first = True

    def feed(self, chunk: bytes) -> list[str]:
        """The events that are complete now."""
        # Only at line feeds: inside of JSON there are characters that `splitlines` takes for ends.
        *lines, rest = chunk.split(b"\n")
        events = []
        for line in lines:
            self._hold(line)
            events += self._take()
        self._hold(rest)
        return events

    def flush(self) -> list[str]:
        """The last one, whose line has no end."""
        return self._take()

    def _hold(self, part: bytes) -> None:
        if len(self._held) + len(part) > MAX_EVENT_BYTES:
            raise ValueError("an event is too long")
        self._held += part

    def _take(self) -> list[str]:
        line = bytes(self._held)
        self._held.clear()
        if self._is_first:
            # Some put one before their first line, which is an event all the same.
            line, self._is_first = line.removeprefix(_BYTE_ORDER_MARK), False
        if not line.startswith(b"data:"):
            return []
        data = line[len(b"data:") :].strip()
        return [data.decode("utf-8")] if data else []
