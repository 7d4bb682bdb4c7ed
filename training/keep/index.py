"""The index of the kept files: their hashes, and every version of the weights so far."""

from dataclasses import asdict, dataclass, field
from typing import Any

from training.errors import TrainingError
from training.files import hash_file, hash_json, read_json, write_json
from training.keep.folder import KeptFolder
from training.keep.parts import read_part_info
from training.shards import shard_path

FORMAT = 1


@dataclass(frozen=True, slots=True)
class KeptPart:
    """A part of the tokens."""

    number: int
    hash: str
    num_bytes: int
    num_utterances: int
    num_frames: int


@dataclass(frozen=True, slots=True)
class KeptWeights:
    """A version of the weights; the last one in the index is present, history has the others."""

    files: dict[str, str]
    """Name in the folder of weights, hash of the content."""
    num_bytes: int
    word_error_rate: float

    @property
    def hash(self) -> str:
        return hash_json(self.files)


@dataclass(slots=True)
class KeptIndex:
    """What is kept. `made_from` is what all tokens were made from."""

    made_from: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Name, hash: files that never change."""
    parts: list[KeptPart] = field(default_factory=list)
    weights: list[KeptWeights] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.parts

    def save(self, kept: KeptFolder) -> None:
        write_json(kept.index, {"format": FORMAT, **asdict(self)})


def load_index(kept: KeptFolder) -> KeptIndex:
    """Reads the index; an empty one if nothing is kept yet. Raises `TrainingError`."""
    if not kept.index.is_file():
        return KeptIndex()
    found = read_json(kept.index)
    if found.get("format") != FORMAT:
        raise TrainingError(
            f"{kept.index} has format {found.get('format')}; this version reads {FORMAT}"
        )
    return KeptIndex(
        made_from=found["made_from"],
        files=found["files"],
        parts=[KeptPart(**part) for part in found["parts"]],
        weights=[KeptWeights(**weights) for weights in found["weights"]],
    )


def check_kept_files(kept: KeptFolder, index: KeptIndex) -> None:
    """Raises `TrainingError` for a kept file that is missing, cut or changed."""
    expected = {kept.root / name: digest for name, digest in index.files.items()}
    expected |= {shard_path(kept.parts, part.number): part.hash for part in index.parts}
    if index.weights:
        expected |= {kept.weights / name: h for name, h in index.weights[-1].files.items()}
    for path, digest in expected.items():
        if not path.is_file():
            raise TrainingError(f"{path} is missing: git checkout -- {path}")
        if (found := hash_file(path)) != digest:
            raise TrainingError(
                f"{path} is cut or was changed (hash {found}, the index has {digest}): "
                f"git checkout -- {path}"
            )


def kept_shards(kept: KeptFolder, index: KeptIndex) -> dict[int, str]:
    """Returns the number and hash of every token shard in the parts."""
    shards = {}
    for part in index.parts:
        for record in read_part_info(shard_path(kept.parts, part.number))["shards"]:
            shards[int(record["number"])] = str(record["hash"])
    return shards
