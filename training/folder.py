"""Where everything lies in the training folder. Standard library only."""

from dataclasses import dataclass
from pathlib import Path

from training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """Paths of one training folder and of one generation of codec, tokens and models in it."""

    root: Path
    generation: int = 1

    @property
    def texts(self) -> Path:
        return self.root / "texts"

    @property
    def speech(self) -> Path:
        return self.root / "speech"

    @property
    def held_out(self) -> Path:
        """The teacher's recordings of the held-out utterances."""
        return self.root / "held_out"

    @property
    def teacher(self) -> Path:
        return self.root / "teacher"

    @property
    def codes(self) -> Path:
        return self._in_generation("codes")

    @property
    def encoder(self) -> Path:
        """The frozen encoder and quantizer; the hash of this file identifies the codec."""
        return self.codes / "encoder.safetensors"

    @property
    def tokens(self) -> Path:
        return self._in_generation("tokens")

    @property
    def decoder(self) -> Path:
        return self._in_generation("decoder")

    @property
    def language_model(self) -> Path:
        return self._in_generation("language_model")

    @property
    def voice(self) -> Path:
        """The packaged checkpoint."""
        return self._in_generation("voice")

    @property
    def evaluation(self) -> Path:
        return self.root / str(self.generation) / "evaluation.json"

    def _in_generation(self, name: str) -> Path:
        return self.root / str(self.generation) / name


def generations(root: Path) -> list[int]:
    """Returns the numbers of the generations that were begun, sorted."""
    return sorted(int(path.name) for path in root.glob("[0-9]*") if path.name.isdecimal())


def current_folder(settings: TrainingSettings) -> TrainingFolder:
    """Returns the paths of the newest generation."""
    return TrainingFolder(settings.folder, (generations(settings.folder) or [1])[-1])
