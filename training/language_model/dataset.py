"""The utterances that a language model learns from, read from the shards of the tokens stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.language_model.vocabulary import Vocabulary
from training.shards import read_shard, shard_path

LENGTHS = (256, 448, 704, 960, 1216)
"""Lengths of batches, in tokens: each is compiled once. The last one holds twelve seconds."""

VALIDATION_SHARD_STEP = 8
NUM_VALIDATION_UTTERANCES = 8
"""The last eight utterances of every eighth shard, from shard 0 on, are never trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """The ids of a prompt, codes [frames, 7], and start and end of each symbol [symbols, 2].

    Times are in frames from the beginning of the speech.
    """

    prompt: npt.NDArray[np.int64]
    codes: npt.NDArray[np.uint16]
    symbol_frames: npt.NDArray[np.float32]

    @property
    def num_audio_tokens(self) -> int:
        """Codes and the stop."""
        return self.codes.size + 1

    @property
    def num_tokens(self) -> int:
        return len(self.prompt) + self.num_audio_tokens


class Dataset:
    """Utterances for training, by the length of the batch that they fit in, and for validation.

    `numbers` are the shards that were added. An utterance longer than all batches is left out.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.numbers: list[int] = []
        self.buckets: dict[int, list[Utterance]] = {length: [] for length in LENGTHS}
        self.validation: list[Utterance] = []
        self.num_too_long = 0
        self._made_from: object = None

    def add(self, folder: Path, numbers: Sequence[int]) -> None:
        """Adds the shards that are not there yet. Raises `TrainingError` for a bad shard.

        The order of utterances, and so each batch, depends on the order of shards.
        """
        for number in numbers:
            if number not in self.numbers:
                self._add_shard(shard_path(folder, number), number)
                self.numbers.append(number)

    def _add_shard(self, path: Path, number: int) -> None:
        utterances, made_from = read_utterances(path, self._vocabulary)
        if self.numbers and made_from != self._made_from:
            raise TrainingError(f"{path} was made from {made_from}, others from {self._made_from}")
        self._made_from = made_from
        if number % VALIDATION_SHARD_STEP == 0:
            self.validation += utterances[-NUM_VALIDATION_UTTERANCES:]
            utterances = utterances[:-NUM_VALIDATION_UTTERANCES]
        for utterance in utterances:
            length = fitting_length(utterance.num_tokens)
            if length is None:
                self.num_too_long += 1
            else:
                self.buckets[length].append(utterance)


def fitting_length(num_tokens: int) -> int | None:
    """Returns the shortest batch that holds so many tokens; None if none does."""
    return next((length for length in LENGTHS if num_tokens <= length), None)


def read_utterances(path: Path, vocabulary: Vocabulary) -> tuple[list[Utterance], object]:
    """Returns the utterances of a shard and what it was made from.

    Raises `TrainingError` if the shard contradicts itself or the vocabulary.
    """
    arrays, info = read_shard(path)
    codes, symbol_frames = arrays["codes"], arrays["symbol_frames"]
    ends = arrays["frame_ends"].tolist()
    described = info["utterances"]
    num_symbols = [len(each["symbols"]) for each in described]
    if len(ends) != len(described) or sum(num_symbols) != len(symbol_frames):
        raise TrainingError(f"{path}: its utterances and its arrays differ in number")
    if codes.size and int(codes.max()) >= vocabulary.codebook_size:
        raise TrainingError(f"{path}: a code is not below {vocabulary.codebook_size}")
    utterances = []
    first_frame = first_symbol = 0
    for each, end, count in zip(described, ends, num_symbols, strict=True):
        utterances.append(
            Utterance(
                prompt=np.array(vocabulary.prompt_ids(each["speaker"], each["symbols"])),
                codes=codes[first_frame:end],
                symbol_frames=symbol_frames[first_symbol : first_symbol + count],
            )
        )
        first_frame, first_symbol = end, first_symbol + count
    return utterances, info["made_from"]
