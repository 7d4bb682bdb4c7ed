"""Two checks of any checkpoint: sentences that are lost, and the shortest speech of each voice.

`python -m training.evaluate CHECKPOINT --sentences 200` and `--shortest 500`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.text.phonemes import build_phonemizer
from training.ear.in_order import find_lost
from training.ear.process import start_ear
from training.ear.rows import read_rows
from training.evaluate.check_texts import Sentences, several_sentences, single_sentences
from training.evaluate.evaluation import HEARD, PHONEMES, Workplace, read_checkpoint
from training.evaluate.identity import identify
from training.evaluate.items import Item
from training.evaluate.raw_process import speak_raw
from training.evaluate.sampling import Sampling
from training.evaluate.served import speak_served
from training.evaluate.shortest import fit_voices, lengths_by_voice
from training.evaluate.speech_service import SpeechService
from training.evaluate.spoken import SpokenFolder
from training.files import write_json
from training.lock import hold_lock
from training.server import Server
from training.texts.corpus import Corpus, build_corpora
from training.texts.wordnet import read_wordnet

NUM_SEEDS = 3

SENTENCES = "sentences"
SHORTEST = "shortest"


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording and its transcript."""

    item: Item
    result: Mapping[str, Any]
    heard: str


def check_sentences(folder: Path, place: Workplace, num_texts: int) -> Path | None:
    """Speaks texts of two and three sentences through the server, three times in each voice.

    Prints the texts of which a sentence was not heard. Returns the file of the result; None if it
    was stopped.
    """
    checkpoint, work = read_checkpoint(folder), place.of(identify(folder)) / SENTENCES
    texts = {" ".join(each): each for each in several_sentences(held_out_corpus(place), num_texts)}
    items = [
        Item(f"{SENTENCES}/{number}/{voice}/{seed}", SENTENCES, f"{len(each)}", text, (), voice)
        for seed in range(NUM_SEEDS)
        for number, (text, each) in enumerate(texts.items())
        for voice in names_of(checkpoint)
    ]
    spoken = SpokenFolder(work / "spoken")
    with hold_lock(work):
        if spoken.missing(items):
            with Server(
                folder,
                work / "server.log",
                max_attempts=place.settings.max_attempts,
                is_stopped=place.is_stopped,
            ) as server:
                sampling = sampling_of(checkpoint)
                speak_served(SpeechService(server), items, spoken, sampling, place.is_stopped)
        recordings = hear(place, spoken, items)
        if place.is_stopped():
            return None
        result = report_lost(recordings, texts)
        write_json(work / "result.json", result)
    return work / "result.json"


def report_lost(recordings: Sequence[Heard], texts: Mapping[str, Sentences]) -> dict[str, Any]:
    """Prints and returns what was lost, and what the server reports of its attempts."""
    lost = []
    for each in recordings:
        sentences = find_lost(texts[each.item.text], each.heard)
        if sentences:
            lost.append({"key": each.item.key, "text": each.item.text, "heard": each.heard})
            print(f"lost: {each.item.key}: {' | '.join(sentences)}\n  heard: {each.heard}")
    results = [each.result for each in recordings]
    counts = {
        name: sum(result.get(name, 0) for result in results)
        for name in ("num_chunks", "num_attempts", "num_degraded")
    }
    num_failed = sum(bool(result["error"]) for result in results)
    print(f"sentences: {len(lost)} of {len(recordings)} texts lost one; {counts}", flush=True)
    return {"num_texts": len(recordings), "num_failed": num_failed, **counts, "lost": lost}


def measure_shortest(folder: Path, place: Workplace, num_sentences: int) -> Path | None:
    """Speaks single sentences without guard and retries, and fits the shortest speech.

    Prints `shortest` of each voice as `speech.json` has it.
    """
    checkpoint, identity = read_checkpoint(folder), identify(folder)
    work = place.of(identity) / SHORTEST
    phonemizer = build_phonemizer(PHONEMES)
    items = [
        Item(
            f"{SHORTEST}/{number}/{voice}",
            SHORTEST,
            SHORTEST,
            text,
            phonemizer.phonemize(text).symbols,
            voice,
        )
        for number, text in enumerate(single_sentences(held_out_corpus(place), num_sentences))
        for voice in names_of(checkpoint)
    ]
    spoken = SpokenFolder(work / "spoken")
    with hold_lock(work):
        speak_raw(place, work, folder, items, [(sampling_of(checkpoint), spoken.path)])
        recordings = hear(place, spoken, items)
        if place.is_stopped():
            return None
        fits = fit_voices(recordings)
        num_good = {voice: len(each) for voice, each in lengths_by_voice(recordings).items()}
        for voice, fit in fits.items():
            print(f"{voice}: {fit}, of {num_good[voice]} good sentences", flush=True)
        write_json(work / "result.json", {"num_good": num_good, "shortest": fits})
    return work / "result.json"


def hear(place: Workplace, spoken: SpokenFolder, items: Sequence[Item]) -> list[Heard]:
    """Returns the items with their transcripts."""
    output = spoken.path / HEARD
    start_ear(place.settings, place.is_stopped)(spoken.shards(), output)
    heard = {row["key"]: str(row["heard"]) for row in read_rows(output)}
    wanted = {item.key for item in items}
    return [
        Heard(entry.item, entry.result, heard[entry.recording])
        for entry in spoken.entries()
        if entry.item.key in wanted and entry.recording in heard
    ]


def held_out_corpus(place: Workplace) -> Corpus:
    return build_corpora(read_wordnet(place.settings.wordnet_dir))[1]


def names_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    return tuple(voice.name for voice in checkpoint.voices if voice.is_listed)


def sampling_of(checkpoint: Checkpoint) -> Sampling:
    return Sampling(checkpoint.sampling.temperature, checkpoint.sampling.top_p)
