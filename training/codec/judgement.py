"""Judges the codec alone: what the ear hears of held-out recordings, beside the teacher's own.

The codec of today's voice (`models/pocket/codec`) is not in the table: it is kept without its
encoder, so the teacher's speech cannot be passed through it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.codec.renderings import Rendering, Source, render_shard, select_recordings
from training.ear.error_rate import WordErrors, count_errors
from training.ear.normaliser import words_of
from training.ear.recordings import key_of
from training.ear.rows import read_rows
from training.ear.speakers import HEARD, held_out_shards
from training.files import read_json, write_json
from training.folder import TrainingFolder
from training.recipe import provenance, read_recipe_hash
from training.shards import read_info

TEACHER = "teacher"
ALL = "all"

Hear = Callable[[Sequence[Path], Path], None]
"""Appends what is heard of files of recordings to a file of JSON lines."""

Table = dict[str, dict[str, dict[str, float]]]
"""Figures by rendering and speaker; the speaker `all` is all of them."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged: the weights' hash, the steps that they were trained, and more to state."""

    identity: str
    step: int
    made_from: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judge:
    """Renders recordings, has them heard, and counts the errors; goes on where it was ended."""

    folder: TrainingFolder
    stage: Path
    """Where `judged.json` and the work folder lie."""
    hear: Hear
    limit: int | None = None
    """Of recordings."""
    is_stopped: Callable[[], bool] = field(default=lambda: False)

    def judge(self, judged: Judged, renderings: Sequence[Rendering]) -> Table | None:
        """Returns the table and prints it; None if a stop request came first.

        Weights that were judged before are neither rendered nor heard again, and their record is
        replaced. Raises `TrainingError` if there are no recordings.
        """
        sources = select_recordings(held_out_shards(self.folder.held_out), self.limit)
        num_recordings = sum(source.num_recordings for source in sources)
        key = {"identity": judged.identity, "num_recordings": num_recordings}
        files = self._render(sources, renderings)
        if files is None:
            return None
        heard = self._hear(sources, files)
        if heard is None:
            return None
        table = {TEACHER: count(sources, [source.path for source in sources], heard)}
        table |= {name: count(sources, paths, heard) for name, paths in files.items()}
        record = {
            "step": judged.step,
            **key,
            "made_from": {**judged.made_from, "held_out": read_recipe_hash(self.folder.held_out)},
            "table": table,
            **provenance(),
        }
        others = [other for other in self._records() if not key.items() <= other.items()]
        write_json(self.stage / "judged.json", [*others, record])
        self._delete_others(files)
        print_table(table, judged.step)
        return table

    @property
    def work(self) -> Path:
        return self.stage / "judging"

    def _records(self) -> list[dict[str, Any]]:
        path = self.stage / "judged.json"
        records: list[dict[str, Any]] = read_json(path) if path.is_file() else []
        return records

    def _render(
        self, sources: Sequence[Source], renderings: Sequence[Rendering]
    ) -> dict[str, list[Path]] | None:
        files: dict[str, list[Path]] = {}
        for rendering in renderings:
            for source in sources:
                if self.is_stopped():
                    return None
                path = render_shard(rendering, source, self.work)
                files.setdefault(rendering.name, []).append(path)
        return files

    def _hear(
        self, sources: Sequence[Source], files: Mapping[str, Sequence[Path]]
    ) -> dict[str, str] | None:
        """Returns transcripts by key; None if the ear was stopped."""
        expected = {
            path: source.num_recordings
            for paths in ([source.path for source in sources], *files.values())
            for source, path in zip(sources, paths, strict=True)
        }
        heard = self._heard()
        missing = [
            path
            for path, num_recordings in expected.items()
            if any(key_of(path, index) not in heard for index in range(num_recordings))
        ]
        if missing:
            self.hear(missing, self.work / HEARD)
            heard = self._heard()
        is_complete = all(
            key_of(path, index) in heard
            for path, num_recordings in expected.items()
            for index in range(num_recordings)
        )
        return heard if is_complete else None

    def _heard(self) -> dict[str, str]:
        """Returns the transcripts there are, with those of the check of the speakers."""
        rows = read_rows(self.folder.held_out / HEARD) + read_rows(self.work / HEARD)
        return {row["key"]: str(row["heard"]) for row in rows}

    def _delete_others(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Keeps the sound of these weights only; transcripts are all kept."""
        kept = {path for paths in files.values() for path in paths}
        for path in self.work.glob("*-[0-9]*.safetensors"):
            if path not in kept:
                path.unlink()


def count(
    sources: Sequence[Source], paths: Sequence[Path], heard: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Returns the figures of each speaker and of all."""
    errors: dict[str, WordErrors] = {}
    latents: dict[str, int] = {}
    distances: dict[str, float] = {}
    for source, path in zip(sources, paths, strict=True):
        utterances = read_info(path)["utterances"][: source.num_recordings]
        for index, utterance in enumerate(utterances):
            found = count_errors(words_of(utterance["text"]), words_of(heard[key_of(path, index)]))
            num_latents = utterance.get("num_latents", 0)
            distance = utterance.get("mel_distance", 0.0) * num_latents
            for row in (utterance["speaker"], ALL):
                errors[row] = errors.get(row, WordErrors()) + found
                latents[row] = latents.get(row, 0) + num_latents
                distances[row] = distances.get(row, 0.0) + distance
    return {
        row: {
            "word_error_rate": round(errors[row].rate, 4),
            "num_words": errors[row].num_words,
            "num_errors": errors[row].num_errors,
            "mel_distance": round(distances[row] / max(1, latents[row]), 4),
        }
        for row in sorted(errors, key=lambda name: (name == ALL, name))
    }


def print_table(table: Table, step: int) -> None:
    """Prints, by speaker, the word error rates and the mel distance of the last rendering."""
    last = list(table.values())[-1]
    names = "".join(f"{name:>10}" for name in table)
    print(f"after {step} steps: word error rates, mel distance in nats, words")
    print(f"speaker   {names}{'distance':>10}{'words':>8}")
    for row, figures in last.items():
        rates = "".join(f"{table[name][row]['word_error_rate']:>10.4f}" for name in table)
        print(f"{row:<10}{rates}{figures['mel_distance']:>10.4f}{figures['num_words']:>8}")
