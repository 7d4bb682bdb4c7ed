"""`python -m training.keep [restore]`: keeps what a run has made, or restores it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.errors import TrainingError
from training.folder import TrainingFolder, current_folder
from training.keep.fixed_files import keep_fixed_files
from training.keep.folder import KEPT_DIR, MAX_TOTAL_BYTES, KeptFolder
from training.keep.index import KeptIndex, check_kept_files, load_index
from training.keep.restore import restore
from training.keep.tokens import append_tokens
from training.keep.weights import keep_weights
from training.lock import hold_lock
from training.settings import load_settings
from training.stage import run_stage

FRAMES_PER_SEC = 24_000 / 2048


def keep(kept: KeptFolder, folder: TrainingFolder, *, is_replaced_again: bool = False) -> None:
    """Adds what the kept folder lacks, and prints one line per kind."""
    if not folder.encoder.is_file():
        raise TrainingError(f"{folder.encoder} is missing: there is nothing to keep before tokens")
    index = load_index(kept)
    check_kept_files(kept, index)
    keep_fixed_files(kept, index, folder)
    new = append_tokens(kept, index, folder)
    num_new = sum(part.num_frames for part in new)
    print(f"tokens: {_hours(num_new)} in {len(new)} new parts, {_summary(index)}")
    print(f"weights: {keep_weights(kept, index, folder, is_replaced_again=is_replaced_again)}")
    size = kept.num_bytes()
    print(f"{kept.root}: {size / 1e6:.2f} of {MAX_TOTAL_BYTES / 1e6:.0f} MB")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.keep", description=__doc__)
    parser.add_argument("action", nargs="?", choices=["keep", "restore"], default="keep")
    parser.add_argument("--folder", type=Path, default=KEPT_DIR, help="the kept folder")
    parser.add_argument(
        "--replace-again", action="store_true", help="replace the weights more than twice"
    )
    parser.add_argument(
        "--no-language-model",
        action="store_true",
        help="restore codec and tokens only: for a language model of another shape",
    )
    parsed = parser.parse_args(arguments)
    folder, kept = current_folder(load_settings()), KeptFolder(parsed.folder)
    if parsed.action == "keep":
        keep(kept, folder, is_replaced_again=parsed.replace_again)
    else:
        with hold_lock(folder.root):
            index = restore(folder, kept, has_language_model=not parsed.no_language_model)
        print(f"{folder.root}: restored, {_summary(index)}")


def _summary(index: KeptIndex) -> str:
    num_frames = sum(part.num_frames for part in index.parts)
    num_bytes = sum(part.num_bytes for part in index.parts)
    text = f"{_hours(num_frames)} of speech in {len(index.parts)} parts"
    return f"{text}, {num_bytes / 1e6:.2f} MB" if num_bytes else text


def _hours(num_frames: int) -> str:
    return f"{num_frames / FRAMES_PER_SEC / 3600:.2f} h"


if __name__ == "__main__":
    run_stage(main)
