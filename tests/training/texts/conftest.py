import json
from pathlib import Path

import pytest

from orpheus_server.text.phonemes import Phonemes
from training.settings import TrainingSettings, load_settings
from training.texts.corpus import Corpus, build_corpora
from training.texts.utterance import Phonemizer
from training.texts.wordnet import read_wordnet

from .small_wordnet import write_wordnet

SPEAKERS = ("tara", "leah", "jess", "mia", "zoe", "leo", "dan", "zac")


class LetterPhonemizer:
    """Reads each letter or digit as a symbol: fast, and about as long as the real one."""

    def phonemize(self, text: str) -> Phonemes:
        symbols = [
            char if char.isalnum() else "_" for char in text if char.isalnum() or char == " "
        ]
        return Phonemes((*symbols, text[-1] if text[-1] in "!?" else "."), 0)


@pytest.fixture(scope="session")
def phonemizer() -> Phonemizer:
    return LetterPhonemizer()


@pytest.fixture(scope="session")
def wordnet_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wordnet(tmp_path_factory.mktemp("wordnet"))


@pytest.fixture(scope="session")
def corpora(wordnet_dir: Path) -> tuple[Corpus, Corpus]:
    """The corpus to train on and the held-out one."""
    return build_corpora(read_wordnet(wordnet_dir))


@pytest.fixture
def settings(tmp_path: Path, wordnet_dir: Path) -> TrainingSettings:
    speakers_file = tmp_path / "speakers.json"
    speakers_file.write_text(
        json.dumps({"speakers": [{"name": name, "style": "af_heart"} for name in SPEAKERS]})
    )
    return load_settings(
        {
            "TRAINING_DIR": str(tmp_path / "training"),
            "TRAINING_WORDNET_DIR": str(wordnet_dir),
            "TRAINING_SPEAKERS": str(speakers_file),
        }
    )
