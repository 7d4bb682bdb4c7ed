"""`python -m training.gpu_pack pack`, and `take FOLDER`: to a rented GPU and back."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.folder import current_folder
from training.gpu_pack.layout import STAGES
from training.gpu_pack.pack import PACK_DIR, write_pack
from training.gpu_pack.speech_packing import SpeechOptions
from training.gpu_pack.taking import take
from training.lock import hold_lock
from training.settings import load_settings
from training.stage import run_stage


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.gpu_pack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="write the folder")
    pack.add_argument("--folder", type=Path, default=PACK_DIR, help="default: %(default)s")
    pack.add_argument("--stage", choices=STAGES, action="append", help="default: both")
    pack.add_argument("--hours", type=float, default=SpeechOptions().max_hours, help="of speech")
    pack.add_argument("--kbits", type=float, default=SpeechOptions().bits_per_sec / 1000)
    pack.add_argument("--wheels", type=Path, help="a folder with the packages, if there is no net")
    taking = commands.add_parser("take", help="go on from results")
    taking.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    settings = load_settings()
    folder = current_folder(settings)
    if options.command == "take":
        with hold_lock(settings.folder):
            print("\n".join(take(options.folder, folder)))
        return
    speech = SpeechOptions(options.hours, int(options.kbits * 1000))
    stages = options.stage or list(STAGES)
    print("\n".join(write_pack(options.folder, folder, stages, speech, wheels=options.wheels)))


if __name__ == "__main__":
    run_stage(main)
