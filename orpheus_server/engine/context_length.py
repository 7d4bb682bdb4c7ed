"""The context length of a speech model: what it was made for, and the least that is useful."""

import json
from pathlib import Path

from orpheus_server.errors import StartError

MIN_MODEL_LEN = 2048
"""A shorter context does not hold an ordinary chunk: 2048 tokens are 25 s of audio."""


def own_max_len(folder: Path) -> int:
    """Returns the context length in the model's `config.json`. Raises `StartError`."""
    path = folder / "config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartError(f"{path} is not the configuration of a Llama: {error}") from error
