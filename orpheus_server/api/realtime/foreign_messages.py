"""Recognises a client of another protocol by its messages."""

_MAX_IN_A_ROW = 3
"""A client of this protocol may have a bug; one of another protocol sends nothing else."""


class ForeignMessages:
    """Counts messages in a row that are not of this protocol.

    `reason_to_close` is None, or why the connection has to be closed: the first message was not of
    this protocol, or as many in a row as a client of it never sends.
    """

    def __init__(self) -> None:
        self._num_in_a_row = 0
        self._has_known_client = False
        self.reason_to_close: str | None = None

    def add(self) -> None:
        """Counts a message that is not of this protocol."""
        self._num_in_a_row += 1
        if not self._has_known_client:
            self.reason_to_close = "The first message is not an event of this protocol."
        elif self._num_in_a_row == _MAX_IN_A_ROW:
            self.reason_to_close = f"{_MAX_IN_A_ROW} messages in a row are not of this protocol."

    def reset(self) -> None:
        """Starts anew after a message of this protocol, even one that is invalid."""
        self._num_in_a_row = 0
        self._has_known_client = True
