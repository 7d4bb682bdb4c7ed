"""`python -m training.evaluate CHECKPOINT`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from orpheus_server.text.phonemes import build_phonemizer
from training.evaluate.checks import check_sentences, measure_shortest
from training.evaluate.evaluation import (
    PHONEMES,
    WHOLE,
    Scope,
    Subject,
    Workplace,
    judge_spoken,
    judge_teacher,
    read_subject,
)
from training.evaluate.items import HELD_OUT
from training.evaluate.judging import Judged
from training.evaluate.long_text import LONG_TEXT, long_text, speak_long_text
from training.evaluate.pictures import draw_pictures
from training.evaluate.raw_process import speak_raw
from training.evaluate.report import Evaluation, format_table, steps_by_voice
from training.evaluate.sampling import SETTINGS, Sampling, choose
from training.evaluate.served import speak_served
from training.evaluate.shortest import fit_voices
from training.evaluate.speech_service import SpeechService
from training.evaluate.spoken import SpokenFolder
from training.evaluate.summary import ALL, tabulate
from training.evaluate.teacher import speaker_centroids
from training.files import write_json
from training.folder import current_folder
from training.lock import hold_lock
from training.progress import NUM_HELD_OUT
from training.server import Server
from training.settings import TrainingSettings, load_settings
from training.stage import StopRequest

NUM_LONG_TEXTS = 2
"""Voices that speak the text of twenty sentences."""


def main(arguments: Sequence[str]) -> None:
    """Evaluates a checkpoint, and prints where the result is."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder with speech.json and weights")
    parser.add_argument(
        "--limit", type=int, help="speak only so many held-out texts, other lists in proportion"
    )
    parser.add_argument(
        "--thirty", action="store_true", help="with a limit: speak all of the thirty sentences"
    )
    parser.add_argument(
        "--sentences",
        type=int,
        metavar="N",
        help="instead: speak so many texts of two and three sentences, and list what is lost",
    )
    parser.add_argument(
        "--shortest",
        type=int,
        metavar="N",
        help="instead: measure each voice's shortest speech on so many sentences",
    )
    options = parser.parse_args(arguments)
    stop = StopRequest()
    stop.listen()
    settings = load_settings()
    checkpoint = options.checkpoint.resolve()
    place = Workplace(current_folder(settings), settings, stop)
    if options.shortest:
        measure_shortest(checkpoint, place, options.shortest)
    if options.sentences:
        check_sentences(checkpoint, place, options.sentences)
    if options.shortest or options.sentences:
        return
    limit = options.limit
    if limit is None and settings.num_judged < NUM_HELD_OUT:
        limit = settings.num_judged
    scope = Scope(limit, has_all_sentences=options.thirty)
    evaluate(checkpoint, settings, scope, is_stopped=stop)


def evaluate(
    checkpoint: Path,
    settings: TrainingSettings,
    scope: Scope = WHOLE,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Returns the file of the result; None if it was stopped. Raises `TrainingError`."""
    place = Workplace(current_folder(settings), settings, is_stopped)
    subject = read_subject(checkpoint, place, scope)
    # Not the chain's lock: other checkpoints are evaluated while it runs.
    with hold_lock(place.of(subject.identity)):
        return _evaluate(subject, place, scope)


def _evaluate(subject: Subject, place: Workplace, scope: Scope) -> Path | None:
    work = place.of(subject.identity)
    is_stopped = place.is_stopped
    wanted = {item.key for item in subject.items}
    print(f"evaluate: {subject.folder}, {len(wanted)} recordings, in {work}", flush=True)

    teacher = judge_teacher(place, subject)
    folders = [(each, work / f"raw-{each.name}") for each in SETTINGS]
    speak_raw(place, work, subject.folder, subject.items, folders)
    raw = {each: _among(wanted, judge_spoken(place, path, subject.texts)) for each, path in folders}
    if is_stopped():
        return None
    centroids = speaker_centroids(place.training.speech)
    raw_tables = {each: tabulate(judged, centroids) for each, judged in raw.items()}
    rates = {each: table[ALL]["word_error_rate"] for each, table in raw_tables.items()}
    sampling = choose(rates)

    served_folder = work / f"served-{sampling.name}"
    speak_through_server(place, subject, sampling, served_folder)
    served = _among(wanted, judge_spoken(place, served_folder, subject.texts))
    chunks = judge_long_text(place, long_text_folder(work, subject, sampling))
    if is_stopped():
        return None
    evaluation = Evaluation(
        checkpoint=subject.checkpoint.name,
        identity=subject.identity,
        voices=subject.voices,
        limit=scope.limit,
        num_utterances=len({each.text for each in subject.items if each.collection == HELD_OUT}),
        teacher=tabulate(teacher, centroids),
        raw=raw_tables,
        sampling=sampling,
        served=tabulate(served, centroids),
        long_text=steps_by_voice(chunks),
        teacher_steps=steps_by_voice(teacher),
        shortest=fit_voices(raw[sampling]),
    )
    name = f"evaluation{scope.suffix}"
    result = evaluation.to_json(place.settings)
    write_json(work / f"{name}.json", result)
    if subject.folder == place.training.voice.resolve():
        write_json(place.training.evaluation, result)
    spoken = {"raw": work / f"raw-{sampling.name}", "served": served_folder}
    draw_pictures(work, name, evaluation, place.training.held_out, spoken)
    print(f"{format_table(evaluation)}\nevaluate: {work / f'{name}.json'}", flush=True)
    return work / f"{name}.json"


def _among(wanted: set[str], judged: Sequence[Judged]) -> list[Judged]:
    """Leaves out what an evaluation with a higher limit has spoken."""
    return [each for each in judged if each.item.key in wanted]


def speak_through_server(
    place: Workplace, subject: Subject, sampling: Sampling, path: Path
) -> None:
    """Starts the server if anything is missing, and speaks it."""
    folder = SpokenFolder(path)
    work = place.of(subject.identity)
    long_folder = SpokenFolder(long_text_folder(work, subject, sampling))
    spoken = {entry.item.voice for entry in long_folder.entries()}
    missing_voices = [each for each in _long_voices(subject.voices) if each not in spoken]
    if place.is_stopped() or not (folder.missing(subject.items) or missing_voices):
        return
    phonemizer = build_phonemizer(PHONEMES)
    with Server(
        subject.folder,
        work / "server.log",
        max_attempts=place.settings.max_attempts,
        is_stopped=place.is_stopped,
    ) as server:
        speak_served(SpeechService(server), subject.items, folder, sampling, place.is_stopped)
        for voice in missing_voices:
            if not place.is_stopped():
                long_folder.add(
                    speak_long_text(
                        server.port,
                        long_text(subject.num_sentences),
                        voice,
                        sampling,
                        lambda text: phonemizer.phonemize(text).symbols,
                    )
                )


def long_text_folder(work: Path, subject: Subject, sampling: Sampling) -> Path:
    """Returns the folder of a text of so many sentences at this setting."""
    return work / f"{LONG_TEXT}-{subject.num_sentences}-{sampling.name}"


def judge_long_text(place: Workplace, path: Path) -> list[Judged]:
    """Judges the chunks of the long text; the grammar chooses among them."""
    entries = SpokenFolder(path).entries()
    texts = {entry.item.text: entry.item.symbols for entry in entries}
    return judge_spoken(place, path, {LONG_TEXT: texts})


def _long_voices(voices: Sequence[str]) -> list[str]:
    """Returns the first voice and the one half of the list further on."""
    return list(dict.fromkeys((voices[0], voices[len(voices) // 2])))[:NUM_LONG_TEXTS]
