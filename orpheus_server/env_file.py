"""Reads the `.env` file, and says which of its lines are wrong."""

import io
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from orpheus_server.errors import StartError

ENCODING = "utf-8-sig"
"""Windows editors put a byte order mark before the first name."""


def read_names(path: Path) -> list[str]:
    """Returns the names that the file sets; none if there is no such file.

    Raises `StartError` with the numbers of malformed lines, which would be skipped, but without
    their text: it may be a key.
    """
    if not path.is_file():
        return []
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode(ENCODING)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise StartError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from error
    bindings = list(parse_stream(io.StringIO(text)))
    malformed = [str(_line_of(binding)) for binding in bindings if binding.error]
    if malformed:
        lines = f"line{'s' if len(malformed) > 1 else ''} {', '.join(malformed)}"
        raise StartError(
            f"{path}, {lines}: must be NAME=value, a comment that starts with #, or empty. A quote "
            "that is opened must be closed."
        )
    return [binding.key for binding in bindings if binding.key is not None]


def _line_of(binding: Binding) -> int:
    """Returns the number of its first line that is not empty."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
