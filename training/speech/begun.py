"""A shard that is being made: what there is of it is saved, so that at most minutes are lost."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.shards import CutShard, read_shard, write_shard
from training.speech.recording import Cast, Recording, TextEntry, record

SAVE_EVERY_SEC = 120.0
"""A shard takes a minute, but eight on an overloaded machine, and one utterance half a minute."""

PREFIX = "begun-"


@dataclass(frozen=True, slots=True)
class BegunShard:
    """The beginning of a shard, in a file beside it."""

    shard: Path
    made_from: str

    @property
    def path(self) -> Path:
        return self.shard.with_name(f"{PREFIX}{self.shard.name}")

    def read(self) -> Recording:
        """Returns the beginning that was saved; an empty one if there is none or it is cut."""
        try:
            arrays, info = read_shard(self.path)
        except CutShard:
            return Recording.empty()
        if info["made_from"] != self.made_from:
            return Recording.empty()
        return Recording(arrays, info["utterances"], info["num_skipped"])

    def finish(
        self,
        entries: list[TextEntry],
        cast: Cast,
        pace: Callable[[TextEntry], float],
        clock: Callable[[], float],
    ) -> Recording:
        """Speaks the entries that are not spoken yet, and writes the shard."""
        recording = self.read()
        saved_at = clock()
        for entry in entries[recording.num_entries :]:
            if clock() - saved_at >= SAVE_EVERY_SEC:
                write_shard(self.path, recording.arrays, recording.info(self.made_from))
                saved_at = clock()
            recording = recording.followed_by(record([entry], cast, pace=pace))
        write_shard(self.shard, recording.arrays, recording.info(self.made_from))
        self.path.unlink(missing_ok=True)
        return recording
