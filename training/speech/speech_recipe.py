"""What the speech is made from."""

from collections.abc import Sequence
from pathlib import Path

from training.recipe import Recipe
from training.speech.kokoro import MODEL_SHA256, PACKAGE, VERSION
from training.speech.recording import SEED
from training.speech.speakers import Speaker
from training.speech.styles import hash_styles

SPEECH_VERSION = 2
"""Raised with every change of this package that changes samples or times."""


def speech_recipe(
    stage: str, *, texts: str, speakers: Sequence[Speaker], styles_dir: Path
) -> Recipe:
    """Returns the recipe; `texts` is the hash of the texts' own."""
    return Recipe(
        stage,
        {
            "texts": texts,
            "teacher": MODEL_SHA256[:16],
            "package": f"{PACKAGE}=={VERSION}",
            "version": SPEECH_VERSION,
            "seed": SEED,
            "speakers": [speaker.recipe() for speaker in speakers],
            "styles": hash_styles(speakers, styles_dir),
        },
    )
