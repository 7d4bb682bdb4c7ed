"""A small training folder with tokens, and an empty folder to keep them in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.files import hash_file, write_atomically, write_json
from training.folder import TrainingFolder
from training.keep.evaluation import WEIGHT_FILES, hash_weights
from training.keep.folder import KeptFolder
from training.keep.state_files import to_torch_file
from training.recipe import FILE
from training.shards import shard_path, write_shard
from training.states import state_path

SPEAKERS = ("tara", "leo", "zac")
SYMBOLS = ("h", "ˈɛ", "l", "oʊ", "_", ".", "?")


def write_tokens(folder: TrainingFolder, number: int, *, size: int = 4, codes: int = 1024) -> None:
    """Writes a token shard that depends on its number only."""
    rng = np.random.default_rng(number)
    utterances: list[dict[str, Any]] = []
    frame_ends, times = [0], []
    for index in range(size):
        symbols = [str(symbol) for symbol in rng.choice(SYMBOLS, 9)]
        number_of_all = size * number + index
        utterances.append(
            {
                "number": number_of_all,
                "speaker": SPEAKERS[number_of_all % 3],
                "kind": "question",
                "text": f"Is “it” {number_of_all}?\nYes…",
                "symbols": symbols,
            }
        )
        ends = np.sort(rng.uniform(0, 30, 9))
        frame_ends.append(frame_ends[-1] + 30)
        # Symbol 4 is silent; symbol 7 starts after a pause.
        starts = np.concatenate([[0.35], ends[:-1]])
        starts[4], starts[7] = ends[4], (ends[6] + ends[7]) / 2
        times.append(np.stack([starts, ends], axis=1))
    arrays = {
        "codes": rng.integers(0, codes, (frame_ends[-1], 7)).astype(np.uint16),
        "frame_ends": np.array(frame_ends[1:], np.int64),
        "symbol_frames": np.concatenate(times).astype(np.float32),
    }
    made_from = {"speech": "5bee", "encoder": hash_file(folder.encoder)}
    info = {"made_from": made_from, "utterances": utterances, "num_skipped": 1}
    write_shard(shard_path(folder.tokens, number), arrays, info)


def write_voice(folder: TrainingFolder, *, seed: int, word_error_rate: float) -> None:
    """Writes the states of both models, the voice packaged from them and its evaluation."""
    torch.manual_seed(seed)
    made_from = {}
    for stage, path in (("language_model", folder.language_model), ("decoder", folder.decoder)):
        module = torch.nn.Linear(8, 8)
        optimizer = torch.optim.AdamW(module.parameters())
        module(torch.ones(8)).sum().backward()
        optimizer.step()
        name = {"language_model": "model", "decoder": "decoder"}[stage]
        state = {name: module.state_dict(), "optimizer": optimizer.state_dict()}
        step = 100 + seed
        saved = {"step": step, "made_from": "7e57", "state": state}
        write_atomically(state_path(path, step), to_torch_file(saved))
        write_json(path / FILE, {"stage": stage, "hash": "7e57", "made_from": {}})
        made_from[stage] = {"step": step}
    for name in WEIGHT_FILES:
        write_atomically(folder.voice / name, bytes([seed]))
    write_json(folder.voice / "training.json", {"made_from": made_from})
    write_json(
        folder.evaluation,
        {
            "limit": None,
            "served": {"all": {"word_error_rate": word_error_rate}},
            "files": {"speech.json": "5bee", **hash_weights(folder.voice)},
        },
    )


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    """Three shards of tokens, their encoder and recipes."""
    folder = TrainingFolder(tmp_path / "training")
    write_atomically(folder.encoder, bytes(range(256)))
    write_atomically(folder.texts / "held_out.json", json.dumps({"utterances": []}).encode())
    for stage, path in (("texts", folder.texts), ("tokens", folder.tokens)):
        write_json(path / FILE, {"stage": stage, "hash": "7e57", "made_from": {"seed": 1}})
    for number in range(3):
        write_tokens(folder, number)
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> KeptFolder:
    return KeptFolder(tmp_path / "kept")
