"""Fills a training folder from the kept files, so that later stages run without the teacher."""

from training.errors import TrainingError
from training.folder import TrainingFolder
from training.keep.fixed_files import check_fixed_files, restore_fixed_files
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex, check_kept_files, load_index
from training.keep.parts import read_part
from training.keep.token_shards import TokenShard, read_token_shard, write_token_shard
from training.keep.weights import restore_weights
from training.shards import shard_numbers, shard_path


def restore(
    folder: TrainingFolder, kept: KeptFolder, *, has_language_model: bool = True
) -> KeptIndex:
    """Writes what is missing in the training folder; returns the index of what is kept.

    Without the language model, one of another shape can be trained there.
    Raises `TrainingError`, before anything is written, if a kept file is cut or missing or the
    folder holds something else. Recipes are written last: until then the folder counts as empty.
    """
    index = load_index(kept)
    if index.is_empty:
        raise TrainingError(f"{kept.root} holds nothing yet: python -m training.keep")
    check_kept_files(kept, index)
    check_fixed_files(kept, index, folder)
    for shard in _missing_shards(folder, kept, index):
        write_token_shard(folder.tokens, shard)
    if index.weights:
        stages = ("decoder", "language_model") if has_language_model else ("decoder",)
        restore_weights(kept, folder, stages)
    restore_fixed_files(kept, index, folder)
    return index


def _missing_shards(folder: TrainingFolder, kept: KeptFolder, index: KeptIndex) -> list[TokenShard]:
    present = set(shard_numbers(folder.tokens))
    missing = []
    for part in index.parts:
        for shard in read_part(shard_path(kept.parts, part.number)):
            if shard.number not in present:
                missing.append(shard)
            elif read_token_shard(folder.tokens, shard.number).hash != shard.hash:
                raise TrainingError(
                    f"{shard_path(folder.tokens, shard.number)} differs from the kept shard of its "
                    "number: set TRAINING_DIR to another folder"
                )
    return missing
