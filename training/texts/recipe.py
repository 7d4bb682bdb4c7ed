"""What the texts are made from."""

from importlib import metadata

from training.files import hash_file
from training.recipe import Recipe
from training.settings import TrainingSettings
from training.speech.speakers import load_speakers
from training.texts.shard import SEED
from training.texts.wordnet import wordnet_files

# Raise it with every change to what is drawn: frames, lists, rules, the code that uses them.
TEXTS_VERSION = 2
PHONEMIZER = "gruut/en-us"
PHONEMIZER_PACKAGES = ("gruut", "gruut-lang-en", "gruut-ipa")


def texts_recipe(settings: TrainingSettings) -> Recipe:
    """Returns the recipe of the texts. Raises `TrainingError` if WordNet is missing."""
    made_from = {
        "version": TEXTS_VERSION,
        "seed": SEED,
        "speakers": speaker_names(settings),
        "wordnet": {file.name: hash_file(file) for file in wordnet_files(settings.wordnet_dir)},
        "phonemizer": PHONEMIZER,
        "packages": {name: metadata.version(name) for name in PHONEMIZER_PACKAGES},
    }
    return Recipe("texts", made_from)


def speaker_names(settings: TrainingSettings) -> list[str]:
    """Returns the names of the speakers, in the order in which they take turns."""
    return [speaker.name for speaker in load_speakers(settings.speakers_file)]
