"""The steps of an evaluation, each of which goes on from what is in the work folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.errors import StartError
from orpheus_server.text.phonemes import GruutPhonemizer, build_phonemizer
from training.ear.process import start_ear
from training.ear.speakers import HEARD as TEACHER_HEARD
from training.errors import TrainingError
from training.evaluate.grammar import GrammarEar
from training.evaluate.identity import Identity, identify
from training.evaluate.items import (
    HELD_OUT,
    JUDGE,
    LONG_TEXT_SENTENCES,
    SHORT,
    Item,
    Text,
    in_order,
    in_proportion,
    judge_sentences,
    read_held_out,
    short_answers,
    to_items,
)
from training.evaluate.judging import Judged, Texts, judge, read_judged
from training.evaluate.spoken import SpokenFolder
from training.evaluate.teacher import teacher_recordings
from training.files import read_json
from training.folder import TrainingFolder
from training.progress import HELD_OUT_TEXTS, NUM_HELD_OUT
from training.settings import TrainingSettings
from training.shards import shard_numbers, shard_path

HEARD = "heard.jsonl"
JUDGED = "judged.jsonl"

PHONEMES = "gruut/en-us"


@dataclass(frozen=True, slots=True)
class Subject:
    """A checkpoint, and what it says."""

    folder: Path
    checkpoint: Checkpoint
    identity: Identity
    voices: tuple[str, ...]
    items: tuple[Item, ...]
    texts: dict[str, Texts]
    """All texts of each collection with their symbols, also those beyond the limit."""
    num_sentences: int
    """Of the long text."""


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is spoken: so many held-out texts, and of the other lists a share as large."""

    limit: int | None = None
    has_all_sentences: bool = False
    """The thirty sentences by which models are compared are all spoken."""

    @property
    def suffix(self) -> str:
        """Of the names of files, so that each scope has its own."""
        if self.limit is None:
            return ""
        return f"-{self.limit}{'-thirty' if self.has_all_sentences else ''}"

    def num_of(self, collection: str, size: int, num_held_out: int) -> int:
        """Returns how many texts of a collection are spoken."""
        if collection == HELD_OUT:
            return num_held_out
        if collection == JUDGE and self.has_all_sentences:
            return size
        return in_proportion(size, num_held_out)


WHOLE = Scope()


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where an evaluation keeps what it has, and how it is stopped."""

    training: TrainingFolder
    settings: TrainingSettings
    is_stopped: Callable[[], bool]

    @property
    def root(self) -> Path:
        return self.training.root / "evaluation"

    def of(self, identity: Identity) -> Path:
        return self.root / identity.hash


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads the description of a checkpoint. Raises `TrainingError`."""
    try:
        return load_speech_json(folder)
    except StartError as error:
        raise TrainingError(str(error)) from error


def read_subject(folder: Path, place: Workplace, scope: Scope) -> Subject:
    """Reads a checkpoint folder and the texts. Raises `TrainingError`."""
    identity = identify(folder)
    checkpoint = read_checkpoint(folder)
    voices = tuple(voice.name for voice in checkpoint.voices if voice.is_listed)
    phonemizer = build_phonemizer(PHONEMES)
    held_out = read_json(place.training.texts / HELD_OUT_TEXTS)["utterances"]
    texts = [
        *read_held_out(held_out[: place.settings.num_judged]),
        *_to_texts(judge_sentences(), JUDGE, phonemizer),
        *_to_texts(short_answers(), SHORT, phonemizer),
    ]
    collections: dict[str, list[Text]] = {}
    for text in texts:
        collections.setdefault(text.collection, []).append(text)
    num_held_out = min(scope.limit or NUM_HELD_OUT, place.settings.num_judged)
    items = [
        item
        for name, each in collections.items()
        for item in to_items(
            in_order(each, scope.num_of(name, len(each), num_held_out)),
            voices,
        )
    ]
    num_sentences = max(2, in_proportion(LONG_TEXT_SENTENCES, num_held_out))
    symbols = {
        name: {text.text: text.symbols for text in each} for name, each in collections.items()
    }
    return Subject(folder, checkpoint, identity, voices, tuple(items), dict(symbols), num_sentences)


def _to_texts(texts: Sequence[str], collection: str, phonemizer: GruutPhonemizer) -> list[Text]:
    return [
        Text(number, collection, collection, text, phonemizer.phonemize(text).symbols)
        for number, text in enumerate(texts)
    ]


def judge_teacher(place: Workplace, subject: Subject) -> list[Judged]:
    """Judges the teacher's recordings of the texts; none if there are no recordings."""
    held_out = place.training.held_out
    shards = [shard_path(held_out, number) for number in shard_numbers(held_out)]
    heard, judged = held_out / TEACHER_HEARD, place.root / "teacher" / JUDGED
    start_ear(place.settings, place.is_stopped)(shards, heard)
    texts = {item.text for item in subject.items}
    recordings = [
        (entry, samples)
        for entry, samples in teacher_recordings(held_out)
        if entry.item.text in texts
    ]
    judge(recordings, judged, subject.texts, GrammarEar, is_stopped=place.is_stopped)
    return read_judged([entry for entry, _ in recordings], heard, judged)


def judge_spoken(place: Workplace, path: Path, texts: dict[str, Texts]) -> list[Judged]:
    """Hears and judges what lies in a folder."""
    folder = SpokenFolder(path)
    start_ear(place.settings, place.is_stopped)(folder.shards(), path / HEARD)
    judge(folder.recordings(), path / JUDGED, texts, GrammarEar, is_stopped=place.is_stopped)
    return read_judged(folder.entries(), path / HEARD, path / JUDGED)
