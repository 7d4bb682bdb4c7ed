"""The whole way to a rented machine and back, in an environment that has only what it has there.

Downloads three wheels, 2 MB.
"""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

from training.codec.config import SAMPLE_RATE, CodecConfig
from training.codec.encoder import MelEncoder
from training.codec.frozen import write_frozen
from training.codec.quantizer import build_quantizer
from training.files import hash_file, write_json
from training.folder import TrainingFolder
from training.gpu_pack.layout import STAGES, num_bytes, stage_folder
from training.gpu_pack.pack import MAX_PACK_BYTES, write_pack
from training.gpu_pack.pieces import PIECE_BYTES
from training.gpu_pack.speech_packing import SpeechOptions
from training.gpu_pack.taking import take
from training.recipe import Recipe, claim
from training.shards import read_shard, shard_path, write_shard
from training.states import newest_step

PRESENT = ("torch", "numpy", "scipy", "einops", "huggingface_hub")
NUM_SECONDS = 40
MINUTES = 2.0


def write_run(folder: TrainingFolder) -> None:
    """Writes speech that is a hum, an untrained encoder and tokens that are noise."""
    random = np.random.default_rng(0)
    speech, tokens = Recipe("speech", {"seed": 1}), Recipe("tokens", {"speech": "5bee"})
    for path, recipe in ((folder.speech, speech), (folder.tokens, tokens)):
        claim(path, recipe)
    write_json(folder.texts / "held_out.json", {"utterances": []})
    times = np.arange(NUM_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    hum = 6_000 * np.sin(2 * np.pi * 120 * times) * np.sin(9 * times) ** 2
    samples = (hum + random.normal(0, 200, len(times))).astype(np.int16)
    info = {"made_from": speech.hash, "sample_rate": SAMPLE_RATE, "utterances": []}
    write_shard(shard_path(folder.speech, 0), {"samples": samples}, info)
    torch.manual_seed(0)
    config = CodecConfig()
    write_frozen(folder.encoder, config, MelEncoder(config), build_quantizer(config), {})
    symbols = ["h", "ˈɛ", "l", "oʊ", "."]
    arrays = {
        "codes": random.integers(0, config.codebook_size, (32 * 20, 7)).astype(np.uint16),
        "frame_ends": np.arange(1, 33) * 20,
        "symbol_frames": np.tile(np.arange(5)[:, None] * 4.0 + [0.0, 4.0], (32, 1)),
    }
    utterance = {"speaker": "tara", "kind": "answer", "text": "Hello.", "symbols": symbols}
    made_from = {"speech": speech.hash, "encoder": hash_file(folder.encoder)}
    info = {"made_from": made_from, "utterances": [utterance] * 32}
    write_shard(shard_path(folder.tokens, 0), arrays, info)


def distributions(name: str, seen: set[str]) -> Iterator[metadata.Distribution]:
    """Yields an installed package and all that it needs."""
    if name.lower() in seen:
        return
    seen.add(name.lower())
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return
    yield found
    for line in found.requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from distributions(requirement.name, seen)


def make_environment(folder: Path) -> Path:
    """Makes an environment with the packages that are there, and returns its Python."""
    venv.create(folder, symlinks=True)
    target = next((folder / "lib").glob("python*")) / "site-packages"
    seen: set[str] = set()
    for name in PRESENT:
        for found in distributions(name, seen):
            for file in found.files or []:
                source = Path(str(found.locate_file(file.parts[0])))
                link = target / file.parts[0]
                if ".." not in file.parts and not link.exists() and source.exists():
                    link.symlink_to(source)
    return folder / "bin" / "python"


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    isolated = ["unshare", "--map-root-user", "--net", *command]
    has_unshare = shutil.which("unshare") and not subprocess.call([*isolated[:3], "true"])
    return subprocess.run(
        isolated if has_unshare else command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_pack_trains_in_an_empty_environment(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path / "run")
    write_run(folder)
    pack = tmp_path / "here" / "gpu-pack"
    write_pack(pack, folder, STAGES, SpeechOptions())
    assert num_bytes(pack) <= MAX_PACK_BYTES
    shutil.move(pack, tmp_path / "there")
    python = make_environment(tmp_path / "environment")
    assert run([str(python), "-c", "import torch, einops"], tmp_path).returncode == 0
    for name in ("safetensors", "snac", "training", "orpheus_server"):
        assert run([str(python), "-c", f"import {name}"], tmp_path).returncode == 1

    results = tmp_path / "results"
    command = [str(python), str(tmp_path / "there" / "run.py"), str(MINUTES)]
    done = run([*command, f"--results={results}", "--batch-tokens=704"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout, file=sys.stderr)
    files = list(results.iterdir())
    assert 2 <= len(files) <= 8
    assert max(path.stat().st_size for path in files) <= PIECE_BYTES

    hum, _ = read_shard(shard_path(folder.speech, 0))
    heard, _ = read_shard(shard_path(tmp_path / "there" / "work" / "speech", 0))
    assert np.corrcoef(hum["samples"], heard["samples"])[0, 1] > 0.95

    assert len(take(results, folder)) == 2
    for stage in STAGES:
        assert newest_step(stage_folder(folder, stage)) > 0
