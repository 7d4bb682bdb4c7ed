"""Where everything lies in the folder that the repository keeps, and how large it may become."""

from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError
from training.settings import ROOT

KEPT_DIR = ROOT / "models" / "pocket-training"
MAX_TOTAL_BYTES = 25_000_000


@dataclass(frozen=True, slots=True)
class KeptFolder:
    """Paths of the kept files."""

    root: Path = KEPT_DIR

    @property
    def index(self) -> Path:
        return self.root / "index.json"

    @property
    def parts(self) -> Path:
        return self.root / "tokens"

    @property
    def weights(self) -> Path:
        """The best voice's language model and decoder, with their recipes and evaluation."""
        return self.root / "weights"

    def num_bytes(self) -> int:
        """Returns the size of all files together."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def check_space(self, more_bytes: int) -> None:
        """Raises `TrainingError` if the folder would become too large."""
        total = self.num_bytes() + more_bytes
        if total > MAX_TOTAL_BYTES:
            raise TrainingError(
                f"{self.root} would have {total / 1e6:.1f} MB: at most "
                f"{MAX_TOTAL_BYTES / 1e6:.0f} MB are kept; nothing was added"
            )
