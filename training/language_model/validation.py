"""How well a model hears its text: the cross-entropy with the right and with a wrong text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.language_model.batches import build_batch
from training.language_model.dataset import Utterance, fitting_length
from training.language_model.losses import has_fast_bfloat16, summed_cross_entropy
from training.language_model.model import LanguageModel
from training.language_model.vocabulary import Vocabulary

NUM_UTTERANCES = 24
"""Utterances of one evaluation: it takes seconds, and a turn has several."""

_SPEAKER_POSITION = 1


@dataclass(frozen=True, slots=True)
class Validation:
    """Cross-entropies in nats per audio token, over utterances that were not trained on."""

    right_text: float
    wrong_text: float

    @property
    def text_gain(self) -> float:
        """Nats per token that the model knows from the text; 0 if it does not hear it."""
        return self.wrong_text - self.right_text


def validate(
    model: LanguageModel, vocabulary: Vocabulary, utterances: Sequence[Utterance]
) -> Validation | None:
    """Evaluates the model; None without two utterances that fit the longest batch.

    The wrong text is that of the next utterance, spoken by the same speaker as the right one.
    """
    chosen = [each for each in spread(utterances, NUM_UTTERANCES) if _length(each) is not None]
    if len(chosen) < 2:
        return None
    following = [*chosen[1:], chosen[0]]
    pairs = [
        (right, wrong)
        for right, text in zip(chosen, following, strict=True)
        if _length(wrong := with_text_of(right, text)) is not None
    ]
    return Validation(
        right_text=_cross_entropy(model, vocabulary, [right for right, _ in pairs]),
        wrong_text=_cross_entropy(model, vocabulary, [wrong for _, wrong in pairs]),
    )


def spread(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """Returns at most `count` utterances, evenly spread."""
    stride = max(1, len(utterances) / count)
    return [utterances[int(i * stride)] for i in range(min(count, len(utterances)))]


def with_text_of(utterance: Utterance, other: Utterance) -> Utterance:
    """Returns the same speech with the other's text and its own speaker."""
    prompt = other.prompt.copy()
    prompt[_SPEAKER_POSITION] = utterance.prompt[_SPEAKER_POSITION]
    return replace(utterance, prompt=prompt, symbol_frames=other.symbol_frames)


def _length(utterance: Utterance) -> int | None:
    return fitting_length(utterance.num_tokens)


def _cross_entropy(
    model: LanguageModel, vocabulary: Vocabulary, utterances: Sequence[Utterance]
) -> float:
    device = next(model.parameters()).device
    total = 0.0
    # One at a time: batches would need padding, and memory beside training.
    for utterance in utterances:
        length = _length(utterance)
        assert length is not None, "longer utterances were left out"
        batch = build_batch([utterance], vocabulary, utterance.num_tokens).to(device)
        total += summed_cross_entropy(model, batch, is_bfloat16=has_fast_bfloat16(device))
    return total / sum(utterance.num_audio_tokens for utterance in utterances)
