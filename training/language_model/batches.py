"""Batches of one length each: all that is random in them follows from seed, step and rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.errors import TrainingError
from training.language_model.dataset import LENGTHS, Dataset, Utterance
from training.language_model.guide import MAX_GUIDED_POSITIONS, guide_rows
from training.language_model.vocabulary import NUM_SLOTS, STOP, Vocabulary

IGNORED = -100
"""The label of positions that are not predicted."""

NOISE = 0.08
"""Share of the input audio tokens that a random code replaces: the model then leans on the text,
and goes on well after a slip of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tensors of one step.

    `ids` and `labels` are int64 [batch, positions]; a label is the id that follows its position.
    `guide` is float32 [batch, positions, prompt positions]: how well each prompt position explains
    the sound that follows; rows of zeros are not guided.
    `slot_positions` and `slot_labels` are int64 [batch, 7, frames]: where the code of each slot is
    predicted, and that code; the stop follows the codes as one more code of slot 0.
    """

    ids: Tensor
    labels: Tensor
    guide: Tensor
    slot_positions: Tensor
    slot_labels: Tensor

    @property
    def num_audio_tokens(self) -> int:
        return int((self.labels != IGNORED).sum())

    def to(self, device: torch.device) -> "Batch":
        tensors = (self.ids, self.labels, self.guide, self.slot_positions, self.slot_labels)
        return Batch(*(tensor.to(device) for tensor in tensors))


def draw_batch(
    dataset: Dataset, vocabulary: Vocabulary, *, seed: int, step: int, rank: int, num_tokens: int
) -> Batch:
    """Draws a batch of `num_tokens` positions, padding included.

    The length depends on seed and step, so that all processes take equally long; the utterances
    depend on the rank too, but not on the number of processes.
    """
    lengths = [length for length in LENGTHS if dataset.buckets[length]]
    if not lengths:
        raise TrainingError("there are no utterances to train on")
    rows = {length: max(1, num_tokens // length) for length in lengths}
    # Each utterance is as likely as any other.
    shares = np.array([len(dataset.buckets[length]) / rows[length] for length in lengths])
    shared_random = np.random.default_rng([seed, step])
    length = int(shared_random.choice(lengths, p=shares / shares.sum()))
    random = np.random.default_rng([seed, step, rank])
    bucket = dataset.buckets[length]
    chosen = [bucket[index] for index in random.integers(0, len(bucket), rows[length])]
    return build_batch(chosen, vocabulary, length, random=random)


def build_batch(
    utterances: Sequence[Utterance],
    vocabulary: Vocabulary,
    length: int,
    *,
    random: np.random.Generator | None = None,
) -> Batch:
    """Builds a batch of utterances that fit; codes are replaced only if `random` is there."""
    shape = (len(utterances), length)
    ids = np.zeros(shape, np.int64)
    labels = np.full(shape, IGNORED, np.int64)
    guide = np.zeros((*shape, min(length, MAX_GUIDED_POSITIONS)), np.float32)
    slot_shape = (len(utterances), NUM_SLOTS, length // NUM_SLOTS + 1)
    slot_positions = np.zeros(slot_shape, np.int64)
    slot_labels = np.full(slot_shape, IGNORED, np.int64)
    slots, frames = np.ogrid[: slot_shape[1], : slot_shape[2]]
    for row, utterance in enumerate(utterances):
        audio = vocabulary.audio_ids(utterance.codes)
        start = len(utterance.prompt)
        end = start + len(audio)
        ids[row, :start] = utterance.prompt
        ids[row, start:end] = audio if random is None else _replace(audio, vocabulary, random)
        labels[row, start - 1 : end - 1] = audio
        labels[row, end - 1] = STOP
        num_frames = len(utterance.codes)
        slot_positions[row] = np.minimum(start - 1 + NUM_SLOTS * frames + slots, length - 1)
        slot_labels[row, :, :num_frames] = utterance.codes.T
        slot_labels[row, 0, num_frames] = vocabulary.codebook_size
        guided = guide_rows(utterance.symbol_frames, num_frames)
        guided = guided[:, : guide.shape[2] - 2]
        # The prompt begins with a control id and the speaker. The last row is that of the stop.
        guide[row, start - 1 : end, 2 : 2 + guided.shape[1]] = guided
    arrays = (ids, labels, guide, slot_positions, slot_labels)
    return Batch(*(torch.from_numpy(array) for array in arrays))


def _replace(
    audio: npt.NDArray[np.int64], vocabulary: Vocabulary, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Returns the ids with some replaced by random codes of the same slots."""
    is_replaced = random.random(len(audio)) < NOISE
    codes = random.integers(0, vocabulary.codebook_size, len(audio))
    others = np.resize(vocabulary.slot_bases, len(audio)) + codes
    assert len(audio) % NUM_SLOTS == 0
    return np.where(is_replaced, others, audio)
