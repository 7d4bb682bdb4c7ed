"""Goes on in the training folder from what a rented GPU gave back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import hash_file, write_atomically
from training.folder import TrainingFolder
from training.gpu_pack.layout import STAGES, stage_folder
from training.gpu_pack.pieces import read_pieces
from training.gpu_pack.results import LOG, PLAN, STATE_NAME
from training.keep.state_files import to_torch_file, unpack_state
from training.recipe import FILE, read_recipe_hash
from training.states import newest_step


def take(results: Path, folder: TrainingFolder) -> list[str]:
    """Writes states that are further than the folder's own; returns a line for each stage.

    What the folder has is kept. Raises `TrainingError`, before anything is written, if the results
    are incomplete, a mixture, or of another training folder.
    """
    contents, info = read_pieces(results)
    if not folder.encoder.is_file() or hash_file(folder.encoder) != info["encoder"]:
        raise TrainingError(
            f"{results} was trained with the encoder {info['encoder']}, which is not "
            f"{folder.encoder}: it belongs to another training folder"
        )
    states = {name: _read_state(results, name, data) for name, data in contents.items()}
    for name, state in states.items():
        _check_recipe(results, name, state, folder)
    lines = []
    for stage in STAGES:
        own = {name: state for name, state in states.items() if name.startswith(f"{stage}/")}
        if own:
            lines.append(_take_stage(folder, stage, own, info["texts"]))
    return lines or [f"{results} holds no states"]


def _read_state(results: Path, name: str, data: bytes) -> dict[str, Any]:
    if not STATE_NAME.fullmatch(name):
        raise TrainingError(f"{results} holds {name}, which is not a state")
    return unpack_state(data, results / name)


def _check_recipe(
    results: Path, name: str, state: Mapping[str, Any], folder: TrainingFolder
) -> None:
    path = stage_folder(folder, name.partition("/")[0])
    if (path / FILE).is_file() and read_recipe_hash(path) != state["made_from"]:
        raise TrainingError(
            f"{name} of {results} was made from {state['made_from']}, and {path} from "
            f"{read_recipe_hash(path)}: they do not belong together"
        )


def _take_stage(
    folder: TrainingFolder, stage: str, states: Mapping[str, Mapping[str, Any]], texts: Any
) -> str:
    path = stage_folder(folder, stage)
    before = newest_step(path)
    main = {name: state for name, state in states.items() if "cooled-" not in name}
    after = max((int(state["step"]) for state in main.values()), default=before)
    if main and after <= before:
        return f"{stage}: step {after} is not further than the folder's {before}: not taken"
    for name, state in states.items():
        write_atomically(path.parent / name, to_torch_file(state))
    for name in (FILE, PLAN):
        text = texts.get(f"{stage}/{name}")
        if text is not None and (name == PLAN or not (path / name).is_file()):
            write_atomically(path / name, text.encode())
    _append_log(path / LOG, texts.get(f"{stage}/{LOG}", ""))
    cooled = " with its last part" if len(states) > len(main) else ""
    return f"{stage}: from step {before} to {after}{cooled}"


def _append_log(path: Path, text: str) -> None:
    before = path.read_bytes() if path.is_file() else b""
    write_atomically(path, before + text.encode())
