"""Speech recognition with pocketsphinx and its bundled model of English."""

import re

import av
import numpy as np
import numpy.typing as npt
from pocketsphinx import Decoder

_RECOGNISER_RATE = 16_000


def _resampled(samples: npt.NDArray[np.int16], sample_rate: int) -> bytes:
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = sample_rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=_RECOGNISER_RATE)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(part.to_ndarray().tobytes() for part in parts)


def words_of(text: str) -> list[str]:
    """Returns the lower-case words of a text, without punctuation."""
    return re.findall(r"[a-z']+", text.lower())


def pick(samples: npt.NDArray[np.int16], sample_rate: int, sentences: list[str]) -> str | None:
    """Returns the one of `sentences` that is recognised, or None."""
    rules = " | ".join(" ".join(words_of(sentence)) for sentence in sentences)
    recogniser = Decoder(lm=None, loglevel="FATAL")
    recogniser.add_jsgf_string("choice", f"#JSGF V1.0; grammar g; public <s> = {rules};")
    recogniser.activate_search("choice")
    recogniser.start_utt()
    recogniser.process_raw(_resampled(samples, sample_rate), full_utt=True)
    recogniser.end_utt()
    hypothesis = recogniser.hyp()
    if hypothesis is None:
        return None
    heard = words_of(hypothesis.hypstr)
    return next((each for each in sentences if words_of(each) == heard), None)


def dictation(samples: npt.NDArray[np.int16], sample_rate: int) -> list[str]:
    """Returns the words that are recognised with free vocabulary."""
    recogniser = Decoder(loglevel="FATAL")
    recogniser.start_utt()
    recogniser.process_raw(_resampled(samples, sample_rate), full_utt=True)
    recogniser.end_utt()
    return words_of(recogniser.hyp().hypstr) if recogniser.hyp() else []


def word_error_rate(spoken: list[str], heard: list[str]) -> float:
    """Returns insertions, deletions and substitutions per spoken word."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(spoken, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            cost = previous + (word != other)
            previous, row[j] = row[j], min(cost, row[j] + 1, row[j - 1] + 1)
    return row[-1] / max(1, len(spoken))
