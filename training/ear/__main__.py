"""`python -m training.ear`: transcripts of recordings, and the check of the speakers."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.ear.hear import transcribe
from training.ear.speakers import check_speakers
from training.ear.whisper import load_whisper
from training.folder import current_folder
from training.settings import load_settings
from training.stage import StopRequest, run_stage


def main(arguments: Sequence[str]) -> None:
    """Runs one of the two commands."""
    parser = argparse.ArgumentParser(prog="python -m training.ear", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    hear = commands.add_parser("hear", help="write what is heard as JSON lines")
    hear.add_argument("files", nargs="*", type=Path, help="shards, WAV or npz; else from stdin")
    hear.add_argument("--to", type=Path, required=True, help="JSON lines, which are gone on from")
    commands.add_parser("speakers", help="hear the teacher's recordings of held-out utterances")
    options = parser.parse_args(arguments)
    stop = StopRequest()
    stop.listen()
    if options.command == "hear":
        files = options.files or [Path(line.strip()) for line in sys.stdin if line.strip()]
        transcribe(files, options.to, load_whisper, is_stopped=stop)
    else:
        check_speakers(current_folder(load_settings()), load_whisper, is_stopped=stop)


if __name__ == "__main__":
    run_stage(main)
