"""Finds the files of a checkpoint: a folder as it is, or what is needed from the hub."""

import os
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from orpheus_server.checkpoint import is_hub_id
from orpheus_server.errors import StartError
from orpheus_server.published import UNGATED_MIRROR

MODEL_FILES = ("*.json", "model*.safetensors")
"""The published repository holds about 100 GB of optimizer shards beside these."""

CODEC_FILES = ("config.json", "model.safetensors", "pytorch_model.bin")


def find_files(
    source: str, *, patterns: tuple[str, ...], token: str | None, endpoint: str | None = None
) -> Path:
    """The folder of `source`, fetched from the hub if it is not one on this machine.

    Raises `StartError` with what to do: a gated checkpoint names `HF_TOKEN` and the mirror.
    """
    folder = Path(os.path.expanduser(source))
    if folder.is_dir():
        return folder
    if not is_hub_id(source):
        raise StartError(f"{source!r} is neither a folder nor a hub id like 'owner/name'.")
    try:
        path = snapshot_download(
            source, allow_patterns=list(patterns), token=token, endpoint=endpoint
        )
    except GatedRepoError as error:
        raise StartError(
            f"{source} is gated: accept its conditions on the hub and set HF_TOKEN, or use the "
            f"ungated mirror of the English voice: TTS_MODEL_NAME={UNGATED_MIRROR}"
        ) from error
    except RepositoryNotFoundError as error:
        raise StartError(
            f"the hub has no {source!r}, or it is private and HF_TOKEN does not open it."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise StartError(f"{source} could not be fetched from the hub: {error}") from error
    return Path(path)
