"""`python -m training.package`: writes the checkpoint folder of the newest models."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import read_json
from training.folder import TrainingFolder, current_folder
from training.package.build import build_voice
from training.package.description import VoiceDescription
from training.package.sources import read_sources
from training.settings import load_settings
from training.speech.speakers import load_speakers
from training.stage import run_stage

NAME = "pocket"


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.package", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where to write it")
    parser.add_argument("--name", default=NAME, help="the checkpoint's name (default: %(default)s)")
    arguments = parser.parse_args(argv)
    settings = load_settings()
    folder = current_folder(settings)
    sources = read_sources(folder)
    destination = arguments.folder or folder.voice
    build_voice(
        destination,
        arguments.name,
        sources,
        read_voices(
            settings.speakers_file, sources.vocabulary.speakers, shortest=read_shortest(folder)
        ),
        sampling=read_sampling(folder),
    )
    print(destination, flush=True)


def read_voices(
    path: Path, names: Sequence[str], *, shortest: Mapping[str, Mapping[str, float]]
) -> list[VoiceDescription]:
    """Returns the descriptions of the speakers that the model was trained on."""
    speakers = {speaker.name: speaker for speaker in load_speakers(path)}
    missing = [name for name in names if name not in speakers]
    if missing:
        raise TrainingError(f"{path} does not have the speaker {missing[0]!r} of the model")
    return [
        VoiceDescription(
            name, speakers[name].language, speakers[name].description, shortest.get(name)
        )
        for name in names
    ]


def read_sampling(folder: TrainingFolder) -> Mapping[str, float]:
    """Returns the sampling that the evaluation found best; nothing before the first one."""
    sampling: Mapping[str, float] = _read_evaluation(folder).get("sampling", {})
    return sampling


def read_shortest(folder: TrainingFolder) -> Mapping[str, Mapping[str, float]]:
    """Returns the shortest speech of the voices that the evaluation measured."""
    shortest: Mapping[str, Mapping[str, float]] = _read_evaluation(folder).get("shortest", {})
    return shortest


def _read_evaluation(folder: TrainingFolder) -> Mapping[str, Any]:
    return read_json(folder.evaluation) if folder.evaluation.is_file() else {}


if __name__ == "__main__":
    run_stage(main)
