"""Listens by machine: pocketsphinx, which carries its own model of English."""

import re

import av
import numpy as np
import numpy.typing as npt
from pocketsphinx import Decoder

_EAR_RATE = 16_000


def _to_ear(samples: npt.NDArray[np.int16], sample_rate: int) -> bytes:
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = sample_rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=_EAR_RATE)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(part.to_ndarray().tobytes() for part in parts)


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, without punctuation."""
    return re.findall(r"[a-z']+", text.lower())


def pick(samples: npt.NDArray[np.int16], sample_rate: int, sentences: list[str]) -> str | None:
    """The one of `sentences` that is heard, or None."""
    rules = " | ".join(" ".join(words_of(sentence)) for sentence in sentences)
    ear = Decoder(lm=None, loglevel="FATAL")
    ear.add_jsgf_string("choice", f"#JSGF V1.0; grammar g; public <s> = {rules};")
    ear.activate_search("choice")
    ear.start_utt()
    ear.process_raw(_to_ear(samples, sample_rate), full_utt=True)
    ear.end_utt()
    hypothesis = ear.hyp()
    if hypothesis is None:
        return None
    heard = words_of(hypothesis.hypstr)
    return next((each for each in sentences if words_of(each) == heard), None)


def dictation(samples: npt.NDArray[np.int16], sample_rate: int) -> list[str]:
    """The words that are heard, whatever they are."""
    ear = Decoder(loglevel="FATAL")
    ear.start_utt()
    ear.process_raw(_to_ear(samples, sample_rate), full_utt=True)
    ear.end_utt()
    return words_of(ear.hyp().hypstr) if ear.hyp() else []


def word_error_rate(spoken: list[str], heard: list[str]) -> float:
    """Insertions, deletions and substitutions per spoken word."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(spoken, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            cost = previous + (word != other)
            previous, row[j] = row[j], min(cost, row[j] + 1, row[j - 1] + 1)
    return row[-1] / max(1, len(spoken))
