"""What utterances are drawn from: one corpus to train on, one that is held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.texts.decency import is_decent
from training.texts.examples import sentences
from training.texts.filling import Filler, build_fillers
from training.texts.frames import FRAMES
from training.texts.held_out_rule import is_frame_held_out, is_held_out
from training.texts.kinds import SENTENCE_KINDS, Kind
from training.texts.wordnet import WordNet


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sentences and frames by kind, and words; both sides of the hold-out share the words."""

    examples: Mapping[Kind, Sequence[str]]
    frames: Mapping[Kind, Sequence[str]]
    words: Sequence[str]
    fillers: Mapping[str, Filler]


def build_corpora(wordnet: WordNet) -> tuple[Corpus, Corpus]:
    """Returns the corpus to train on and the held-out one."""
    examples = list(sentences(wordnet.examples))
    words = sorted({word for part in wordnet.words.values() for word in part if is_decent(word)})
    fillers = build_fillers(wordnet.words["noun"])

    def build(is_wanted: bool) -> Corpus:
        by_kind: dict[Kind, list[str]] = {kind: [] for kind in SENTENCE_KINDS}
        for kind, sentence in examples:
            if is_held_out(sentence) is is_wanted:
                by_kind[kind].append(sentence)
        frames = {
            kind: [frame for frame in group if is_frame_held_out(frame) is is_wanted]
            for kind, group in FRAMES.items()
        }
        return Corpus(by_kind, frames, words, fillers)

    return build(False), build(True)
