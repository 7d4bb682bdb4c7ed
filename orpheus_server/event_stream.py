"""Parses server-sent events from bytes."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

MAX_EVENT_BYTES = 1 << 20
"""Limit for memory, in case a server never ends a line; a whole answer is shorter."""


class EventStreamParser:
    """Parses server-sent events from bytes cut anywhere; each `data:` line is one event.

    Other lines (keep-alive comments, event names, blank lines) are skipped. Raises `ValueError` for
    a line that is too long or not UTF-8.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_first = True

    def feed(self, chunk: bytes) -> list[str]:
        """Returns the events that are complete."""
        # Only at line feeds: JSON may contain other characters at which `splitlines` splits.
        *lines, rest = chunk.split(b"\n")
        events = []
        for line in lines:
            self._hold(line)
            events += self._take()
        self._hold(rest)
        return events

    def flush(self) -> list[str]:
        """Returns a last event whose line is not terminated."""
        return self._take()

    def _hold(self, part: bytes) -> None:
        if len(self._held) + len(part) > MAX_EVENT_BYTES:
            raise ValueError("an event is too long")
        self._held += part

    def _take(self) -> list[str]:
        line = bytes(self._held)
        self._held.clear()
        if self._is_first:
            # Some servers send a byte order mark before the first event.
            line, self._is_first = line.removeprefix(_BYTE_ORDER_MARK), False
        if not line.startswith(b"data:"):
            return []
        data = line[len(b"data:") :].strip()
        return [data.decode("utf-8")] if data else []
