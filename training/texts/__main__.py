"""`python -m training.texts --first N --count M`: writes the texts that are missing."""

import argparse
from collections.abc import Sequence

from training.settings import load_settings
from training.stage import StopRequest, lock_for_stage, run_stage
from training.texts.stage import make_texts


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.texts", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="number of the first shard")
    parser.add_argument("--count", type=int, default=1, help="number of shards of 32 utterances")
    options = parser.parse_args(arguments)
    stop = StopRequest()
    stop.listen()
    settings = load_settings()
    with lock_for_stage(settings.folder):
        make_texts(settings, first=options.first, count=options.count, should_stop=stop)


if __name__ == "__main__":
    run_stage(main)
