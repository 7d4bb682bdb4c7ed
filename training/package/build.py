"""Writes the checkpoint folder."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.decoder.product import write_codec
from training.files import write_atomically, write_json
from training.package.card import write_card
from training.package.check import check_voice
from training.package.description import CODEC_FOLDER, VoiceDescription, describe
from training.package.sources import VoiceSources
from training.package.tokenizer import write_tokenizer
from training.package.weights import write_language_model
from training.recipe import provenance
from training.settings import ROOT

NOTICE = Path(__file__).with_name("NOTICE")


def build_voice(
    destination: Path,
    name: str,
    sources: VoiceSources,
    voices: Sequence[VoiceDescription],
    *,
    sampling: Mapping[str, float],
) -> None:
    """Writes and checks the folder beside `destination`, then replaces that.

    Raises `TrainingError` if it does not load; `destination` is then as it was.
    """
    new, old = (destination.with_name(f"{destination.name}.{word}") for word in ("new", "old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    write_voice(new, name, sources, voices, sampling=sampling)
    check_voice(new, sources)
    if destination.exists():
        destination.rename(old)
    new.rename(destination)
    shutil.rmtree(old, ignore_errors=True)


def write_voice(
    folder: Path,
    name: str,
    sources: VoiceSources,
    voices: Sequence[VoiceDescription],
    *,
    sampling: Mapping[str, float],
) -> None:
    """Writes all files of a checkpoint."""
    folder.mkdir(parents=True)
    write_language_model(folder, sources.language_model)
    write_tokenizer(folder, sources.vocabulary)
    write_codec(folder / CODEC_FOLDER, dict(sources.codec_config), dict(sources.codec))
    weights = sources.language_model.llama_weights()
    speech = describe(
        name,
        sources.vocabulary,
        voices,
        num_parameters=sum(value.numel() for value in weights.values()),
        sampling=sampling,
    )
    record: dict[str, Any] = {"made_from": dict(sources.made_from), **provenance()}
    write_atomically(folder / "README.md", write_card(speech, record).encode())
    shutil.copyfile(NOTICE, folder / "NOTICE")
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    write_json(folder / "training.json", record)
    write_json(folder / "speech.json", speech)
