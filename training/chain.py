"""What the chain does next: a pure function of the progress and the budgets.

texts -> speech -> codes -> tokens -> language_model -> package -> evaluate -> package
                     └-> decoder ----------------------┘
"""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from training.progress import Progress
from training.settings import TrainingSettings

SHARDS_PER_TURN = 16
"""Five to ten minutes of the teacher on two cores; loading it takes three seconds."""

UTTERANCES_PER_SHARD = 32
EXPECTED_SHARD_SEC = 32 * 4.0
"""Seconds of speech in a shard, until shards exist that tell."""


class Stage(StrEnum):
    TEXTS = "texts"
    SPEECH = "speech"
    EAR = "ear"
    CODES = "codes"
    TOKENS = "tokens"
    DECODER = "decoder"
    LANGUAGE_MODEL = "language_model"
    PACKAGE = "package"
    EVALUATE = "evaluate"


@dataclass(frozen=True, slots=True)
class Work:
    """One turn of a stage: the arguments of its command, and how it is run."""

    stage: Stage
    arguments: tuple[str, ...] = ()
    is_training: bool = False
    """Trains with processes that average their gradients, until the turn's time is over."""
    has_workers: bool = False
    """Divides its files among independent workers."""
    needs_teacher: bool = False
    """Runs in the environment of teacher and ear."""

    def __str__(self) -> str:
        return " ".join((self.stage, *self.arguments))


def next_work(progress: Progress, settings: TrainingSettings) -> Work | None:
    """Returns the next turn; None when all budgets are used up and the voice is evaluated."""
    if not progress.has_held_out_texts:
        return Work(Stage.TEXTS, ("--first", "0", "--count", "0"))
    if not progress.has_held_out_speech:
        return Work(Stage.SPEECH, ("--held-out",), has_workers=True, needs_teacher=True)
    if not progress.has_heard_speakers:
        return Work(Stage.EAR, ("speakers",), needs_teacher=True)
    if progress.speech_hours < min(settings.codes_from_hours, settings.speech_hours):
        return _more_speech(progress, min(settings.codes_from_hours, settings.speech_hours))
    if not progress.is_encoder_frozen:
        if progress.codes_share < 1:
            return Work(Stage.CODES, is_training=True)
        return Work(Stage.CODES, ("--freeze",))
    if progress.num_untokenised_shards:
        return Work(Stage.TOKENS)
    shares = {
        Stage.SPEECH: progress.speech_hours / settings.speech_hours,
        Stage.DECODER: progress.decoder_share,
        Stage.LANGUAGE_MODEL: progress.language_model_share,
    }
    # The stage that is the furthest behind: so decoder and language model take turns.
    stage, least = min(shares.items(), key=lambda item: item[1])
    if least < 1:
        if stage is Stage.SPEECH:
            return _more_speech(progress, settings.speech_hours)
        return Work(stage, is_training=True)
    if progress.voice_time < max(progress.models_time, progress.evaluation_time):
        return Work(Stage.PACKAGE)
    if progress.evaluation_time < progress.models_time:
        return Work(Stage.EVALUATE)
    return None


def _more_speech(progress: Progress, hours: float) -> Work:
    """Returns the next shards of texts, or of speech where the texts are there."""
    made = progress.speech_shards
    first = next(number for number in range(len(made) + 1) if number not in made)
    shard_sec = sum(made.values()) / len(made) if made else EXPECTED_SHARD_SEC
    num_missing = max(1, ceil((hours - progress.speech_hours) * 3600 / shard_sec))
    count = min(SHARDS_PER_TURN, num_missing)
    shards = ("--first", str(first), "--count", str(count))
    if not progress.text_shards.issuperset(range(first, first + count)):
        return Work(Stage.TEXTS, shards)
    return Work(Stage.SPEECH, shards, has_workers=True, needs_teacher=True)
