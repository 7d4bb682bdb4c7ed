"""The plot and the spectrograms of an evaluation."""

from collections.abc import Mapping
from pathlib import Path

from training.ear.recordings import Pcm
from training.evaluate.items import HELD_OUT
from training.evaluate.plot import plot_error_rates
from training.evaluate.report import Evaluation
from training.evaluate.spectrogram import draw_spectrograms
from training.evaluate.spoken import Entry, SpokenFolder
from training.evaluate.teacher import teacher_recordings
from training.files import write_atomically

NUM_SPECTROGRAMS = 4


def draw_pictures(
    folder: Path,
    name: str,
    evaluation: Evaluation,
    held_out: Path,
    spoken: Mapping[str, Path],
) -> None:
    """Writes `NAME.svg` and `spectrogram-N.png`, one for each of the first texts."""
    tables = {"teacher": evaluation.teacher} if evaluation.teacher else {}
    tables[f"raw {evaluation.sampling.name}"] = evaluation.raw[evaluation.sampling]
    tables[f"served {evaluation.sampling.name}"] = evaluation.served
    title = f"Word error rate by Whisper tiny.en: {evaluation.checkpoint}"
    write_atomically(folder / f"{name}.svg", plot_error_rates(tables, title).encode())
    teacher = {entry.item.text: (entry, samples) for entry, samples in teacher_recordings(held_out)}
    panels: dict[str, dict[str, Pcm]] = {}
    for label, path in spoken.items():
        for text, entry, samples in _first_texts(path):
            rows = panels.setdefault(text, {})
            if text in teacher and not rows:
                recorded, sound = teacher[text]
                rows[f"teacher, {recorded.item.voice}"] = sound
            rows[f"{label}, {entry.item.voice}"] = samples
    for number, (text, rows) in enumerate(list(panels.items())[:NUM_SPECTROGRAMS]):
        draw_spectrograms(folder / f"spectrogram-{number}.png", text, rows)


def _first_texts(path: Path) -> list[tuple[str, Entry, Pcm]]:
    """Returns the first recording of each of the first held-out texts."""
    found: dict[str, tuple[str, Entry, Pcm]] = {}
    for entry, samples in SpokenFolder(path).recordings():
        if entry.item.collection == HELD_OUT:
            found.setdefault(entry.item.text, (entry.item.text, entry, samples))
        if len(found) == NUM_SPECTROGRAMS:
            break
    return list(found.values())
