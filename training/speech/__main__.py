"""`python -m training.speech`, in the environment of the teacher."""

from training.speech.command import main
from training.stage import run_stage

if __name__ == "__main__":
    run_stage(main)
