"""How far each stage has come, read from the files of a training folder. Standard library only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.files import read_json
from training.folder import TrainingFolder
from training.settings import TrainingSettings
from training.shard_header import read_header
from training.states import finished_folder, num_steps_done, read_plan, saved_states

SAMPLE_RATE = 24_000
SHARD_NAME = "[0-9]" * 5
HELD_OUT_TEXTS = "held_out.json"
HEARD_SPEAKERS = "speakers_heard.json"
NUM_HELD_OUT = 300
HELD_OUT_DONE = "complete.json"
"""Written by the speech stage after the last recording of the held-out utterances."""


@dataclass(frozen=True, slots=True)
class Progress:
    """State of all stages; a share is of the stage's budget, 1 when it is used up."""

    has_held_out_texts: bool
    has_held_out_speech: bool
    has_heard_speakers: bool
    text_shards: frozenset[int]
    speech_shards: Mapping[int, float]
    """Seconds of speech by shard."""
    token_shards: frozenset[int]
    codes_share: float
    is_encoder_frozen: bool
    decoder_share: float
    language_model_share: float
    voice_time: float
    """When the checkpoint folder was written; 0 if it was not. Like the next two, in seconds."""
    evaluation_time: float
    models_time: float

    @property
    def speech_hours(self) -> float:
        return sum(self.speech_shards.values()) / 3600

    @property
    def num_untokenised_shards(self) -> int:
        return len(self.speech_shards.keys() - self.token_shards)


def read_progress(folder: TrainingFolder, settings: TrainingSettings) -> Progress:
    """Reads the progress of the folder's generation."""
    return Progress(
        has_held_out_texts=(folder.texts / HELD_OUT_TEXTS).is_file(),
        has_held_out_speech=_num_held_out(folder.held_out)
        >= min(settings.num_judged, NUM_HELD_OUT),
        has_heard_speakers=(folder.root / HEARD_SPEAKERS).is_file(),
        text_shards=frozenset(int(path.stem) for path in folder.texts.glob(f"{SHARD_NAME}.json")),
        speech_shards=_speech_seconds(folder.speech),
        token_shards=frozenset(
            int(path.stem) for path in folder.tokens.glob(f"{SHARD_NAME}.safetensors")
        ),
        codes_share=share(folder.codes, settings.codes_steps),
        is_encoder_frozen=folder.encoder.is_file(),
        decoder_share=share(folder.decoder, settings.decoder_steps),
        language_model_share=share(folder.language_model, settings.language_model_tokens),
        voice_time=_newest_time([folder.voice / "speech.json"]),
        evaluation_time=_newest_time([folder.evaluation]),
        models_time=_newest_time(
            path
            for stage in (folder.decoder, folder.language_model)
            for path in saved_states(finished_folder(stage))
        ),
    )


def share(folder: Path, budget: float) -> float:
    """Returns the share of a budget that a stage has used, at most 1."""
    plan = read_plan(folder)
    if plan is None:
        return 0.0
    done = num_steps_done(folder, plan)
    return min(1.0, done / plan.num_steps * plan.budget / budget)


def _num_held_out(folder: Path) -> int:
    """Returns how many held-out utterances are recorded."""
    path = folder / HELD_OUT_DONE
    return int(read_json(path)["num_utterances"]) if path.is_file() else 0


def _speech_seconds(folder: Path) -> dict[int, float]:
    seconds = {}
    for path in sorted(folder.glob(f"{SHARD_NAME}.safetensors")):
        header = read_header(path)
        if header is not None:
            seconds[int(path.stem)] = header["samples"]["shape"][0] / SAMPLE_RATE
    return seconds


def _newest_time(paths: Iterable[Path]) -> float:
    return max((path.stat().st_mtime for path in paths if path.is_file()), default=0.0)
