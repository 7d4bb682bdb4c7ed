"""Tests of filling a training folder from the kept files."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.training.keep.conftest import write_tokens, write_voice
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.keep.__main__ import keep
from training.keep.folder import KeptFolder
from training.keep.restore import restore
from training.keep.token_shards import STEPS_PER_FRAME
from training.recipe import read_recipe_hash
from training.shards import read_shard, shard_numbers, shard_path
from training.states import newest_step


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture
def fresh(tmp_path: Path) -> TrainingFolder:
    return TrainingFolder(tmp_path / "fresh")


def test_the_round_trip_is_exact_but_for_times(
    folder: TrainingFolder, kept: KeptFolder, fresh: TrainingFolder
) -> None:
    write_voice(folder, seed=1, word_error_rate=0.2)
    keep(kept, folder)
    restore(fresh, kept)
    assert shard_numbers(fresh.tokens) == shard_numbers(folder.tokens) == [0, 1, 2]
    for number in range(3):
        before, info_before = read_shard(shard_path(folder.tokens, number))
        after, info_after = read_shard(shard_path(fresh.tokens, number))
        assert info_after == info_before
        assert np.array_equal(after["codes"], before["codes"])
        assert np.array_equal(after["frame_ends"], before["frame_ends"])
        differences = np.abs(after["symbol_frames"] - before["symbol_frames"])
        assert differences.max() <= 0.5 / STEPS_PER_FRAME
    for name in ("encoder", "evaluation"):
        assert getattr(fresh, name).read_bytes() == getattr(folder, name).read_bytes()
    assert contents(fresh.texts) == contents(folder.texts)
    for stage in ("tokens", "decoder", "language_model"):
        assert read_recipe_hash(getattr(fresh, stage)) == read_recipe_hash(getattr(folder, stage))


def test_restoring_and_keeping_again_changes_nothing(
    folder: TrainingFolder, kept: KeptFolder, fresh: TrainingFolder
) -> None:
    write_voice(folder, seed=1, word_error_rate=0.2)
    keep(kept, folder)
    before = contents(kept.root)
    restore(fresh, kept)
    keep(kept, fresh)
    assert contents(kept.root) == before
    restored = contents(fresh.root)
    restore(fresh, kept)
    assert contents(fresh.root) == restored


def test_another_language_model_can_be_trained(
    folder: TrainingFolder, kept: KeptFolder, fresh: TrainingFolder
) -> None:
    write_voice(folder, seed=1, word_error_rate=0.2)
    keep(kept, folder)
    restore(fresh, kept, has_language_model=False)
    assert newest_step(fresh.decoder) == 101
    assert not fresh.language_model.exists()


def test_a_run_goes_on_from_restored_tokens(
    folder: TrainingFolder, kept: KeptFolder, fresh: TrainingFolder
) -> None:
    keep(kept, folder)
    restore(fresh, kept)
    write_tokens(fresh, 3)
    keep(kept, fresh)
    last = TrainingFolder(fresh.root / "again")
    assert len(restore(last, kept).parts) == 2
    assert shard_numbers(last.tokens) == [0, 1, 2, 3]


def test_restoring_completes_what_was_begun(
    folder: TrainingFolder, kept: KeptFolder, fresh: TrainingFolder
) -> None:
    keep(kept, folder)
    restore(fresh, kept)
    shard_path(fresh.tokens, 1).unlink()
    fresh.encoder.unlink()
    restore(fresh, kept)
    assert shard_numbers(fresh.tokens) == [0, 1, 2]
    assert fresh.encoder.is_file()


def test_other_tokens_in_the_folder_are_an_error(
    folder: TrainingFolder, kept: KeptFolder, fresh: TrainingFolder
) -> None:
    keep(kept, folder)
    restore(fresh, kept)
    write_tokens(fresh, 1, codes=10)
    shard_path(fresh.tokens, 0).unlink()
    message = re.escape(f"{shard_path(fresh.tokens, 1)} differs from the kept shard")
    with pytest.raises(TrainingError, match=message):
        restore(fresh, kept)
    assert shard_numbers(fresh.tokens) == [1, 2]


def test_a_cut_part_is_one_line_and_nothing_is_written(
    folder: TrainingFolder, kept: KeptFolder, fresh: TrainingFolder
) -> None:
    keep(kept, folder)
    path = shard_path(kept.parts, 0)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match=re.escape(f"git checkout -- {path}")):
        restore(fresh, kept)
    with pytest.raises(TrainingError, match=re.escape(f"git checkout -- {path}")):
        keep(kept, folder)
    assert not fresh.root.exists()
    assert path.stat().st_size == 100


def test_nothing_kept_is_an_error(kept: KeptFolder, fresh: TrainingFolder) -> None:
    with pytest.raises(TrainingError, match="holds nothing yet: python -m training.keep"):
        restore(fresh, kept)
