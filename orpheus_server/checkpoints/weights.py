"""Finds the files of a checkpoint, from a folder or the hub, and the size of its weights."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from huggingface_hub import parse_local_safetensors_file_metadata, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    SafetensorsParsingError,
)
from huggingface_hub.utils.tqdm import tqdm

from orpheus_server.checkpoints.checkpoint import is_hub_id
from orpheus_server.checkpoints.download import Download
from orpheus_server.checkpoints.folders import to_folder, what_is_missing
from orpheus_server.checkpoints.published import UNGATED_MIRROR
from orpheus_server.errors import StartError

MODEL_FILES = ("*.json", "model*.safetensors")
"""All that is needed of a voice: its repository may also have 100 GB of optimizer shards."""

TOKENIZER_FILES = ("*.json",)
"""All that is needed of a voice whose weights are elsewhere."""

CODEC_FILES = ("config.json", "model.safetensors", "pytorch_model.bin")

CHAT_FILES = (*MODEL_FILES, "*.jinja", "tokenizer.model", "README.md")
"""Those of a language model, with its chat template and model card."""

VOICE_GATE_HINT = (
    f", or use the ungated mirror of the English voice: TTS_MODEL_NAME={UNGATED_MIRROR}"
)
CHAT_GATE_HINT = "."

# huggingface_hub's names for the progress bars of a snapshot: of its bytes on disk, which include
# those of an interrupted download, and of the bytes received.
_WRITTEN_BAR = "huggingface_hub.snapshot_download"
_FETCHED_BAR = f"{_WRITTEN_BAR}.transfer"

_FLOATS = {"F64", "F32", "F16", "BF16"}


def find_files(
    source: str,
    *,
    patterns: tuple[str, ...],
    token: str | None,
    endpoint: str | None = None,
    gate_hint: str = VOICE_GATE_HINT,
    download: Download | None = None,
) -> Path:
    """Returns the folder `source`, or that of the hub's repository, which is downloaded if needed.

    Reports the progress to `download`. Raises `StartError`. For a gated repository it says to set
    `HF_TOKEN` and ends with `gate_hint`.
    """
    folder = to_folder(source)
    if folder.is_dir():
        return folder
    if not is_hub_id(source):
        raise StartError(
            f"{source!r}: {what_is_missing(source)}, and it is not a hub id like 'owner/name'."
        )
    download = download or Download()
    download.reset()
    try:
        path = snapshot_download(
            source,
            allow_patterns=list(patterns),
            token=token,
            endpoint=endpoint,
            tqdm_class=_counting_bar(download),
        )
    except GatedRepoError as error:
        raise StartError(
            f"{source} is gated: accept its conditions on the hub and set HF_TOKEN{gate_hint}"
        ) from error
    except RepositoryNotFoundError as error:
        raise StartError(
            f"the hub has no {source!r}, or it is private and HF_TOKEN has no access to it; and "
            f"{what_is_missing(source)}."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        # Its other lines are advice that does not fit: they do not know that a folder may be meant.
        reason = str(error).partition("\n")[0].removeprefix("Got: ").rstrip(".")
        raise StartError(
            f"{source} could not be fetched from the hub: {reason}. Check the connection to the "
            f"hub, or name a folder: {what_is_missing(source)}."
        ) from error
    finally:
        download.reset()
    return Path(path)


def _counting_bar(download: Download) -> type[tqdm]:
    """Returns huggingface_hub's progress bar, which then also reports to `download`.

    A bar that is not shown, because there is no terminal, counts as well.
    """

    class CountingBar(tqdm):
        def __init__(self, *args: Any, name: str | None = None, **kwargs: Any) -> None:
            self._bar_name = name
            super().__init__(*args, name=name, **kwargs)  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> Any:
            num_bytes = int(n or 0)
            if self._bar_name == _WRITTEN_BAR:
                download.add_written(num_bytes, total_bytes=int(self.total or 0))
            elif self._bar_name == _FETCHED_BAR:
                download.add_fetched(num_bytes)
            return super().update(n)

    return CountingBar


@dataclass(frozen=True, slots=True)
class WeightSize:
    """The size of the weights; those that are not floats keep their type when they are loaded."""

    num_floats: int
    num_others: int
    other_bytes: int

    @property
    def num_parameters(self) -> int:
        """Numbers that are stored: fewer than the parameters if several are packed into one."""
        return self.num_floats + self.num_others

    def loaded_bytes(self, float_bytes: int) -> int:
        """Returns the bytes in memory, with `float_bytes` per float."""
        return self.num_floats * float_bytes + self.other_bytes


def weigh(folder: Path) -> WeightSize:
    """Reads the size from the headers of the safetensors files; it is 0 without files.

    Raises `StartError` for an invalid file.
    """
    sizes = [_weigh_file(path) for path in _weight_files(folder)]
    return WeightSize(
        sum(size.num_floats for size in sizes),
        sum(size.num_others for size in sizes),
        sum(size.other_bytes for size in sizes),
    )


def _weight_files(folder: Path) -> list[Path]:
    """Returns the files of the index if there is one: some repositories store the weights twice."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("model*.safetensors"))
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [folder / name for name in sorted(names)]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise StartError(f"{index} is not an index of weights: {error!r}") from error


def _weigh_file(path: Path) -> WeightSize:
    num_floats = num_others = other_bytes = 0
    try:
        for tensor in parse_local_safetensors_file_metadata(path).tensors.values():
            if tensor.dtype in _FLOATS:
                num_floats += prod(tensor.shape)
            else:
                num_others += prod(tensor.shape)
                start, end = tensor.data_offsets
                other_bytes += end - start
    except (OSError, SafetensorsParsingError, ValueError, AttributeError, TypeError) as error:
        raise StartError(f"{path} is not a safetensors file: {error}") from error
    return WeightSize(num_floats, num_others, other_bytes)
