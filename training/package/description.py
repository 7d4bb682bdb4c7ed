"""`speech.json`: what the server needs to know of a checkpoint."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orpheus_server.checkpoints.checkpoint import openai_voice_aliases
from training.language_model import vocabulary as ids
from training.language_model.model import MAX_POSITIONS
from training.language_model.vocabulary import SLOT_LEVELS, Vocabulary
from training.texts.kinds import NUM_SENTENCES

CODEC_FOLDER = "codec"
TEXT_FRONTEND = "gruut/en-us"
MAX_AUDIO_SEC = 12.0
"""The longest utterance of the texts stage."""

MAX_SENTENCES = max(NUM_SENTENCES.values())
"""The most sentences of an utterance of the texts stage."""

DEFAULT_SAMPLING = {"temperature": 0.6, "top_p": 0.9}
"""Used until an evaluation has compared others."""

LICENSE_URL = "https://www.apache.org/licenses/LICENSE-2.0"
ATTRIBUTION = "Small voice of Orpheus Server, trained on speech of Kokoro-82M (Apache-2.0)"

_SEX = {"woman": "female", "female": "female", "man": "male", "male": "male"}


@dataclass(frozen=True, slots=True)
class VoiceDescription:
    """A speaker as callers see it."""

    name: str
    language: str
    description: str
    shortest: Mapping[str, float] | None = None
    """Its shortest good speech, which the evaluation measures."""

    @property
    def sex(self) -> str | None:
        """Returns female or male if the description states it."""
        words = re.findall(r"\w+", self.description.casefold())
        return next((_SEX[word] for word in words if word in _SEX), None)


def describe(
    name: str,
    vocabulary: Vocabulary,
    voices: Sequence[VoiceDescription],
    *,
    num_parameters: int,
    sampling: Mapping[str, float],
) -> dict[str, Any]:
    """Returns the content of `speech.json`."""
    return {
        "name": name,
        "parameters": f"{num_parameters / 1e6:.1f}M",
        "license": "Apache-2.0",
        "license_url": LICENSE_URL,
        "attribution": ATTRIBUTION,
        "sample_rate": 24_000,
        "text_frontend": TEXT_FRONTEND,
        "prompt": {
            "before": [ids.BEGIN],
            "template": "{voice}: {text}",
            "after": [ids.END_OF_TEXT, ids.BEGIN_SPEECH],
        },
        "stop_token_ids": [ids.STOP],
        "audio_token_base": ids.AUDIO_TOKEN_BASE,
        "codebook_size": vocabulary.codebook_size,
        "frame_slots": list(SLOT_LEVELS),
        "codec": CODEC_FOLDER,
        "voices": [_voice(voice) for voice in voices],
        "aliases": _aliases(voices),
        "emotion_tags": {},
        "sampling": {**DEFAULT_SAMPLING, **sampling, "repetition_penalty": 1.0},
        "max_audio_seconds": MAX_AUDIO_SEC,
        "max_sentences": MAX_SENTENCES,
        "max_model_len": MAX_POSITIONS,
        "cpu_dtype": "float32",
    }


def _voice(voice: VoiceDescription) -> dict[str, Any]:
    shortest = {} if voice.shortest is None else {"shortest": dict(voice.shortest)}
    return {
        "name": voice.name,
        "language": voice.language,
        "description": voice.description,
        **shortest,
    }


def _aliases(voices: Sequence[VoiceDescription]) -> dict[str, str]:
    """Returns a voice for each of OpenAI's, of the same sex if there is one."""
    female, male = (
        tuple(voice.name for voice in voices if voice.sex == sex) for sex in ("female", "male")
    )
    if not female and not male:
        female = tuple(voice.name for voice in voices)
    names = {voice.name for voice in voices}
    aliases = openai_voice_aliases(female=female, male=male)
    return {alias: name for alias, name in aliases.items() if alias not in names}
