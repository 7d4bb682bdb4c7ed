"""Makes a training folder of a pack, on the rented machine."""

from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import hash_file, read_json, write_atomically
from training.folder import TrainingFolder
from training.gpu_pack.layout import MANIFEST, stage_folder
from training.gpu_pack.libsndfile import OpusDecoder
from training.gpu_pack.speech_unpacking import unpack_speech
from training.keep.folder import KeptFolder
from training.keep.restore import restore
from training.keep.state_files import to_torch_file, unpack_state
from training.recipe import FILE
from training.states import saved_states, state_path


def check_pack(pack: Path) -> dict[str, Any]:
    """Returns the pack's list. Raises `TrainingError` for a missing, cut or foreign file."""
    manifest: dict[str, Any] = read_json(pack / MANIFEST)
    for name, digest in manifest["files"].items():
        if not (pack / name).is_file() or hash_file(pack / name) != digest:
            raise TrainingError(f"{pack / name} is missing, cut or of another pack: copy it again")
    return manifest


def unpack(pack: Path, folder: TrainingFolder, stages: list[str]) -> None:
    """Writes what is missing in the training folder; a stage that has a state keeps it."""
    restore(folder, KeptFolder(pack / "kept"))
    if "decoder" in stages:
        unpack_speech(pack / "speech", folder.speech, OpusDecoder(pack / "site"))
    for stage in stages:
        source, target = pack / "states" / f"{stage}.safetensors", stage_folder(folder, stage)
        if source.is_file() and not saved_states(target):
            state = unpack_state(source.read_bytes(), source)
            write_atomically(target / FILE, source.with_suffix(".json").read_bytes())
            write_atomically(state_path(target, int(state["step"])), to_torch_file(state))
