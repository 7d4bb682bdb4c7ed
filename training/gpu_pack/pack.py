"""Writes the folder that is copied to a rented GPU."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from training.errors import TrainingError
from training.files import hash_file, hash_json, write_atomically, write_json
from training.folder import TrainingFolder
from training.gpu_pack.layout import MANIFEST, num_bytes, stage_folder
from training.gpu_pack.sources import source_files
from training.gpu_pack.speech_packing import SpeechOptions, pack_speech
from training.gpu_pack.wheels import download_wheels, requirements
from training.keep.fixed_files import keep_fixed_files
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex
from training.keep.state_files import (
    BFLOAT16_WEIGHTS,
    EXACT,
    FLOAT16_WEIGHTS,
    ROUNDED_OPTIMIZERS,
    WEIGHTS,
    pack_state,
)
from training.keep.tokens import append_tokens
from training.recipe import FILE, read_recipe_hash
from training.settings import ROOT
from training.trainer import read_newest

PACK_DIR = ROOT / "gpu-pack"
MAX_PACK_BYTES = 28_000_000
RUN = "run.py"

MAX_STATE_BYTES = {"language_model": 14_000_000, "decoder": 4_000_000}
"""What a state may take. The decoder learns more from more speech than from its moments."""

PRECISIONS = {
    "language_model": (EXACT, ROUNDED_OPTIMIZERS, WEIGHTS, BFLOAT16_WEIGHTS),
    "decoder": (EXACT, ROUNDED_OPTIMIZERS, WEIGHTS, FLOAT16_WEIGHTS),
}
"""The first one that fits is used."""


def write_pack(
    target: Path,
    folder: TrainingFolder,
    stages: Sequence[str],
    speech: SpeechOptions,
    *,
    wheels: Path | None = None,
) -> list[str]:
    """Replaces the folder by what the stages need; returns lines about it.

    `wheels` is a folder with the packages; without it they are downloaded. Raises `TrainingError`.
    """
    has_speech = "decoder" in stages
    if has_speech:
        read_recipe_hash(folder.speech)
    if not folder.encoder.is_file():
        raise TrainingError(f"{folder.encoder} is missing: run the stage codes first")
    _clear(target)
    lines = [_add_packages(target, wheels, has_speech=has_speech), _add_sources(target)]
    lines.append(_add_tokens(target, folder, has_tokens="language_model" in stages))
    lines += [_add_state(target, folder, stage) for stage in stages]
    if has_speech:
        # The list of files comes last, and is counted here.
        space = MAX_PACK_BYTES - num_bytes(target) - 100_000
        lines.append(_add_speech(target, folder, speech, max_bytes=space))
    files = {
        path.relative_to(target).as_posix(): hash_file(path)
        for path in sorted(target.rglob("*"))
        if path.is_file() and path != target / MANIFEST
    }
    made_from = {"encoder": hash_file(folder.encoder), "stages": list(stages), "files": files}
    write_json(target / MANIFEST, {"pack": hash_json(made_from), **made_from})
    total = num_bytes(target)
    if total > MAX_PACK_BYTES:
        raise TrainingError(
            f"{target} has {total / 1e6:.1f} MB: at most {MAX_PACK_BYTES / 1e6:.0f}; "
            "pack one stage alone"
        )
    return [*lines, f"{target}: {total / 1e6:.2f} of {MAX_PACK_BYTES / 1e6:.0f} MB"]


def _clear(target: Path) -> None:
    if target.exists() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise TrainingError(f"{target} is not a pack (no {MANIFEST}): it is not replaced")
    shutil.rmtree(target, ignore_errors=True)
    # A pack that was begun must be recognised, or the next one would not replace it.
    write_json(target / MANIFEST, {})


def _add_packages(target: Path, wheels: Path | None, *, has_speech: bool) -> str:
    packages = requirements(has_speech=has_speech)
    if wheels is None:
        download_wheels(target / "wheels", packages)
    else:
        shutil.copytree(wheels, target / "wheels")
    return f"packages: {', '.join(packages)}, {num_bytes(target / 'wheels') / 1e6:.2f} MB"


def _add_sources(target: Path) -> str:
    files = source_files()
    for path in files:
        write_atomically(target / "code" / path, (ROOT / path).read_bytes())
    shutil.copyfile(Path(__file__).with_name(RUN), target / RUN)
    return f"sources: {len(files)} files, {num_bytes(target / 'code') / 1e6:.2f} MB"


def _add_tokens(target: Path, folder: TrainingFolder, *, has_tokens: bool) -> str:
    kept, index = KeptFolder(target / "kept"), KeptIndex()
    keep_fixed_files(kept, index, folder)
    parts = append_tokens(kept, index, folder) if has_tokens else []
    num_frames = sum(part.num_frames for part in parts)
    size = num_bytes(kept.root) / 1e6
    return f"codec and tokens: {num_frames} frames, {size:.2f} MB"


def _add_state(target: Path, folder: TrainingFolder, stage: str) -> str:
    path = stage_folder(folder, stage)
    state = read_newest(path)
    if state is None:
        return f"{stage}: begins anew"
    for precision in PRECISIONS[stage]:
        data = pack_state(state, precision)
        if len(data) <= MAX_STATE_BYTES[stage]:
            write_atomically(target / "states" / f"{stage}.safetensors", data)
            write_atomically(target / "states" / f"{stage}.json", (path / FILE).read_bytes())
            size = len(data) / 1e6
            return f"{stage}: from step {state['step']}, {size:.2f} MB, {precision.title}"
    return f"{stage}: begins anew, since its state takes {len(data) / 1e6:.1f} MB"


def _add_speech(
    target: Path, folder: TrainingFolder, options: SpeechOptions, *, max_bytes: int
) -> str:
    hours = pack_speech(folder.speech, target / "speech", options, max_bytes=max_bytes)
    size = num_bytes(target / "speech") / 1e6
    return f"speech: {hours:.2f} h at {options.bits_per_sec / 1000:g} kbit/s, {size:.2f} MB"
