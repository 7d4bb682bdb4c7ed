"""Keeps the weights of language model and decoder when their voice is better than the kept one.

What the stages can go on from is kept, not the packaged voice: `package` makes the voice from it.
"""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import PARTIAL, hash_bytes, read_json, write_atomically
from training.folder import TrainingFolder
from training.keep.evaluation import read_evaluation
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex, KeptWeights
from training.keep.state_files import (
    BFLOAT16_WEIGHTS,
    FLOAT16_WEIGHTS,
    pack_state,
    to_torch_file,
    unpack_state,
)
from training.recipe import FILE
from training.states import finished_folder, saved_states, state_path
from training.trainer import read_newest

MAX_REPLACEMENTS = 2
"""The repository's history holds every version: each costs every clone its whole size."""

PRECISIONS = {"language_model": BFLOAT16_WEIGHTS, "decoder": FLOAT16_WEIGHTS}
"""By stage."""

EVALUATION = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether weights are to be kept, and a line that says why."""

    is_kept: bool
    reason: str


def judge(index: KeptIndex, weights: KeptWeights, *, is_replaced_again: bool = False) -> Verdict:
    """Decides by the word error rate through the server: only a lower one replaces.

    Raises `TrainingError` for a third replacement, unless `is_replaced_again`.
    """
    rate = weights.word_error_rate
    if not index.weights:
        return Verdict(True, f"word error rate {rate:.3f}, the first ones kept")
    best = index.weights[-1]
    if weights.hash == best.hash:
        return Verdict(False, "these are kept already")
    rates = f"word error rate {rate:.3f}, the kept ones' {best.word_error_rate:.3f}"
    if rate >= best.word_error_rate:
        return Verdict(False, f"{rates}: not better, the kept ones stay")
    if len(index.weights) > MAX_REPLACEMENTS and not is_replaced_again:
        raise TrainingError(
            f"{rates}: better, but the kept weights were replaced {len(index.weights) - 1} times "
            "and history keeps every version; --replace-again does it nevertheless"
        )
    return Verdict(True, f"{rates}: better")


def keep_weights(
    kept: KeptFolder, index: KeptIndex, folder: TrainingFolder, *, is_replaced_again: bool = False
) -> str:
    """Keeps the weights if the evaluation of their voice is better; returns a line about it."""
    if not folder.evaluation.is_file():
        return "no evaluated voice yet: python -m training.evaluate"
    states = {stage: read_newest(finished_folder(_path(folder, stage))) for stage in PRECISIONS}
    evaluation = read_evaluation(folder.evaluation)
    if evaluation is None:
        return f"{folder.evaluation} is of some utterances only: python -m training.evaluate"
    if not evaluation.is_of(folder.voice):
        return f"{folder.voice} is not the voice that was evaluated: python -m training.evaluate"
    if not _is_packaged(folder, states):
        return (
            f"{folder.voice} was not packaged from the newest weights: python -m training.package"
        )
    files = {EVALUATION: folder.evaluation.read_bytes()}
    for stage, state in states.items():
        assert state is not None, "the voice was packaged from it"
        files[f"{stage}.safetensors"] = pack_state(state, PRECISIONS[stage])
        files[f"{stage}.json"] = (_path(folder, stage) / FILE).read_bytes()
    weights = KeptWeights(
        files={name: hash_bytes(data) for name, data in sorted(files.items())},
        num_bytes=sum(map(len, files.values())),
        word_error_rate=evaluation.word_error_rate,
    )
    verdict = judge(index, weights, is_replaced_again=is_replaced_again)
    if verdict.is_kept:
        before = index.weights[-1].num_bytes if index.weights else 0
        kept.check_space(weights.num_bytes - before)
        _replace_folder(kept.weights, files)
        index.weights.append(weights)
        index.save(kept)
    return verdict.reason


def restore_weights(kept: KeptFolder, folder: TrainingFolder, stages: Collection[str]) -> None:
    """Writes the states into those stages that have none; their optimizers begin anew."""
    for stage in stages:
        target = _path(folder, stage)
        if saved_states(target):
            continue
        path = kept.weights / f"{stage}.safetensors"
        state = unpack_state(path.read_bytes(), path)
        write_atomically(target / FILE, (kept.weights / f"{stage}.json").read_bytes())
        write_atomically(state_path(target, int(state["step"])), to_torch_file(state))
    if "language_model" in stages and not folder.evaluation.exists():
        write_atomically(folder.evaluation, (kept.weights / EVALUATION).read_bytes())


def _path(folder: TrainingFolder, stage: str) -> Path:
    return {"language_model": folder.language_model, "decoder": folder.decoder}[stage]


def _is_packaged(folder: TrainingFolder, states: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Returns whether the voice was packaged from these states: their steps stand in it."""
    path = folder.voice / "training.json"
    if not path.is_file():
        return False
    made_from = read_json(path)["made_from"]
    return all(
        state and made_from[stage]["step"] == state["step"] for stage, state in states.items()
    )


def _replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    new, old = (target.with_name(f"{PARTIAL}{word}-{target.name}") for word in ("new", "old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, data in files.items():
        write_atomically(new / name, data)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
