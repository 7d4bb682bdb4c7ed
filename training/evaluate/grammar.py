"""Which of fifty texts a recording is: pocketsphinx with a grammar of their phonemes.

The words of the grammar are pronounced as the phonemizer says, so each text can be told from the
others whatever words it has, and names and numbers need no dictionary.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import av
import numpy as np
from pocketsphinx import Decoder

from training.ear.recordings import Pcm

RECOGNISER_RATE = 16_000
NUM_CHOICES = 50

ARPABET = {
    **{"ɑ": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɔ": "AO", "aʊ": "AW", "aɪ": "AY", "ɛ": "EH"},
    **{"ɚ": "ER", "ɝ": "ER", "eɪ": "EY", "ɪ": "IH", "i": "IY", "oʊ": "OW", "ɔɪ": "OY", "ʊ": "UH"},
    **{"u": "UW", "b": "B", "t͡ʃ": "CH", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "h": "HH"},
    **{"d͡ʒ": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R"},
    **{"s": "S", "ʃ": "SH", "t": "T", "θ": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z"},
    **{"ʒ": "ZH"},
}
_BREAKS = frozenset("_.,!?")

Words = tuple[str, ...]
"""The pronunciation of each word of a text, "HH AH L OW"."""


def to_words(symbols: Sequence[str]) -> Words:
    """Returns the words of a text; sounds that English does not have are left out."""
    words: list[str] = []
    sounds: list[str] = []
    for symbol in (*symbols, "_"):
        if symbol not in _BREAKS:
            sounds += [ARPABET[sound] for sound in [symbol.lstrip("ˈˌ")] if sound in ARPABET]
        elif sounds:
            words.append(" ".join(sounds))
            sounds = []
    return tuple(words)


def choices_for(text: str, texts: Sequence[str], num_choices: int = NUM_CHOICES) -> list[str]:
    """Returns the text and those that follow it in the order of their hashes, in a ring."""
    ring = sorted({text, *texts}, key=lambda each: hashlib.sha256(each.encode()).digest())
    at = ring.index(text)
    return (ring[at:] + ring[:at])[:num_choices]


@dataclass(frozen=True, slots=True)
class GrammarEar:
    """A recogniser that keeps the words it has learnt. Not for several threads."""

    decoder: Decoder = field(default_factory=lambda: Decoder(lm=None, loglevel="FATAL"))
    known: set[str] = field(default_factory=set)

    def pick(
        self, samples: Pcm, sample_rate: int, choices: Mapping[str, Sequence[str]]
    ) -> str | None:
        """Returns the text of `choices` (text to symbols) that is recognised, or None.

        If two texts sound the same, it is the first of them.
        """
        words = {text: to_words(symbols) for text, symbols in choices.items()}
        names = {text: " ".join(map(_name, each)) for text, each in words.items() if each}
        self._learn({word for each in words.values() for word in each})
        rules = " | ".join(names.values())
        self.decoder.add_jsgf_string("choice", f"#JSGF V1.0; grammar g; public <s> = {rules};")
        self.decoder.activate_search("choice")
        self.decoder.start_utt()
        self.decoder.process_raw(_resample(samples, sample_rate), full_utt=True)
        self.decoder.end_utt()
        hypothesis = self.decoder.hyp()
        if hypothesis is None:
            return None
        return next((text for text, name in names.items() if name == hypothesis.hypstr), None)

    def _learn(self, words: set[str]) -> None:
        for word in sorted(words - self.known):
            self.decoder.add_word(_name(word), word, True)
            self.known.add(word)


def _name(word: str) -> str:
    """Returns a name that no word of the recogniser's own dictionary has."""
    return f"zq{word.replace(' ', 'x').lower()}"


def _resample(samples: Pcm, sample_rate: int) -> bytes:
    if not samples.size:
        return b""
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples[np.newaxis]), format="s16", layout="mono"
    )
    frame.sample_rate = sample_rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RECOGNISER_RATE)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(part.to_ndarray().tobytes() for part in parts)
