"""Runs training here: `python run.py MINUTES`. Standard library only, Python 3.11 or later.

Needs torch, numpy, einops and huggingface_hub; everything else is in this folder. No network.
"""

import os
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE / "site"


def main() -> None:
    for wheel in sorted((HERE / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(SITE)
    os.environ["PYTHONPATH"] = os.pathsep.join((str(HERE / "code"), str(SITE)))
    os.chdir(HERE)
    arguments = ("-m", "training.gpu_pack.remote", *sys.argv[1:])
    os.execv(sys.executable, (sys.executable, *arguments))


if __name__ == "__main__":
    main()
