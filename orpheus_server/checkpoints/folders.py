"""Folders of models, as settings and `speech.json` name them."""

import os
from pathlib import Path


def to_folder(source: str) -> Path:
    """Returns the path, with `~` expanded; there need not be a folder."""
    return Path(os.path.expanduser(source))


def what_is_missing(source: str) -> str:
    """Returns a clause for messages that says why `source` is not a folder, with its full path."""
    path = to_folder(source).absolute()
    if path.exists():
        return f"{path} is a file, not a folder"
    return f"there is no folder {path}"
