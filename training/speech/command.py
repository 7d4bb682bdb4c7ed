"""The commands of the stage: speech, held-out speech, styles."""

import argparse
from collections.abc import Sequence

from training.folder import TrainingFolder
from training.recipe import claim, read_recipe_hash
from training.settings import TrainingSettings, load_settings
from training.speech.kokoro import check_packages, load_kokoro
from training.speech.recording import Cast
from training.speech.speakers import load_speakers
from training.speech.speech_recipe import speech_recipe
from training.speech.stopping import exit_on_stop
from training.speech.style_files import fetch_styles, has_styles, require_styles
from training.speech.styles import load_styles
from training.speech.worker import (
    Share,
    finish_held_out,
    held_out_tasks,
    run_tasks,
    speech_tasks,
)
from training.stage import lock_for_stage


def main(arguments: Sequence[str]) -> None:
    options = _parse(arguments)
    settings = load_settings()
    if options.action == "styles":
        _bring_styles(settings)
        return
    with lock_for_stage(settings.folder, options.worker):
        _make_speech(options, settings)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.speech", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("make", "styles"), default="make")
    parser.add_argument("--held-out", action="store_true", help="speak the held-out utterances")
    parser.add_argument("--first", type=int, default=0, help="number of the first shard")
    parser.add_argument("--count", type=int, default=0, help="number of shards")
    parser.add_argument("--worker", type=int, default=0, help="this worker's number")
    parser.add_argument("--workers", type=int, default=1, help="number of workers")
    options = parser.parse_args(arguments)
    if not 0 <= options.worker < options.workers or options.first < 0:
        parser.error("--worker must be below --workers, and no number below 0")
    return options


def _bring_styles(settings: TrainingSettings) -> None:
    speakers = load_speakers(settings.speakers_file)
    if not has_styles(speakers, settings.styles_dir):
        print(f"{settings.styles_dir}: {fetch_styles(settings.styles_dir)} styles", flush=True)
    require_styles(speakers, settings.styles_dir)


def _make_speech(options: argparse.Namespace, settings: TrainingSettings) -> None:
    exit_on_stop()
    folder = TrainingFolder(settings.folder)
    speakers = load_speakers(settings.speakers_file)
    styles = load_styles(speakers, settings.styles_dir)
    check_packages()
    texts = read_recipe_hash(folder.texts)
    target = folder.held_out if options.held_out else folder.speech
    recipe = speech_recipe(
        target.name, texts=texts, speakers=speakers, styles_dir=settings.styles_dir
    )
    claim(target, recipe)
    share = Share(options.worker, options.workers)
    if options.held_out:
        tasks = held_out_tasks(folder, share, num_judged=settings.num_judged, texts_made_from=texts)
    else:
        numbers = range(options.first, options.first + options.count)
        tasks = speech_tasks(folder, numbers, share, texts_made_from=texts)
    if tasks:
        by_name = {speaker.name: speaker for speaker in speakers}
        cast = Cast(load_kokoro(folder.teacher), by_name, styles)
        run_tasks(tasks, cast, made_from=recipe.hash)
    if options.held_out:
        finish_held_out(
            folder,
            num_judged=settings.num_judged,
            made_from=recipe.hash,
            texts_made_from=texts,
        )
