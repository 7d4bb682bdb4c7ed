"""`make train-pocket`: runs the whole chain, from nothing to a checkpoint folder."""

from collections.abc import Sequence

from training.preflight import check_installed, check_machine
from training.run import run_chain
from training.settings import load_settings
from training.stage import StopRequest, run_stage


def main(arguments: Sequence[str]) -> None:
    del arguments
    settings = load_settings()
    check_machine(settings)
    check_installed(settings)
    stop = StopRequest()
    stop.listen()
    run_chain(settings, stop)


if __name__ == "__main__":
    run_stage(main)
