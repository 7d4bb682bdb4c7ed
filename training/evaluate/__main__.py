"""`python -m training.evaluate CHECKPOINT`."""

from training.evaluate.command import main
from training.stage import run_stage

if __name__ == "__main__":
    run_stage(main)
