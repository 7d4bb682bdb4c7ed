"""The published Orpheus checkpoints, as data.

Voices, tags and layout: canopyai/Orpheus-TTS (README, `engine_class.py`, `decoder.py`,
`pretrain/train.py`) and the voice lists of the research release.
"""

from dataclasses import replace
from typing import Any

from orpheus_server.checkpoints.checkpoint import (
    Checkpoint,
    PromptTemplate,
    TokenLayout,
    Voice,
    openai_voice_aliases,
)
from orpheus_server.interfaces import SamplingOptions

SNAC_24KHZ: dict[str, Any] = {
    "sampling_rate": 24000,
    "encoder_dim": 48,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}
"""The codec of Orpheus (hubertsiuzdak/snac_24khz, `config.json`)."""

_LAYOUT = TokenLayout(
    audio_token_base=128_266,
    codebook_size=4096,
    slot_levels=(0, 1, 2, 2, 1, 2, 2),
    stop_token_ids=(128_258, 128_009, 128_262),
)
# start of human, begin of text; end of text, end of human, start of AI, start of speech
_PROMPT = PromptTemplate(
    before=(128_259, 128_000), text="{voice}: {text}", after=(128_009, 128_260, 128_261, 128_257)
)

_ENGLISH_FEMALE = ("tara", "leah", "jess", "mia", "zoe")
_ENGLISH_MALE = ("leo", "dan", "zac")

ENGLISH = Checkpoint(
    name="orpheus-3b-0.1-ft",
    source="canopylabs/orpheus-3b-0.1-ft",
    layout=_LAYOUT,
    prompt=_PROMPT,
    voices=tuple(
        Voice(name, "en", "female" if name in _ENGLISH_FEMALE else "male")
        for name in ("tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe")
    )
    # Trained, but not in the published list because of its quality (canopyai/Orpheus-TTS#71).
    + (Voice("julia", "en", "female, lower quality", is_listed=False),),
    sampling=SamplingOptions(temperature=0.6, top_p=0.9, repetition_penalty=1.1),
    codec="hubertsiuzdak/snac_24khz",
    license="Apache-2.0",
    license_url="https://www.apache.org/licenses/LICENSE-2.0",
    attribution="Orpheus TTS by Canopy Labs, built on Llama 3.2 (Llama 3.2 Community License)",
    parameters="3B",
    # Beyond a minute quality drops and text is skipped (canopyai/Orpheus-TTS#195).
    max_audio_sec=40.0,
    emotion_tags={
        "en": ("laugh", "chuckle", "sigh", "cough", "sniffle", "groan", "yawn", "gasp"),
    },
    voice_aliases=openai_voice_aliases(female=_ENGLISH_FEMALE, male=_ENGLISH_MALE),
)

_RESEARCH_VOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "fr": {"fr": ("pierre", "amelie", "marie")},
    "de": {"de": ("jana", "thomas", "max")},
    "ko": {"ko": ("유나", "준서")},
    "hi": {"hi": ("ऋतिका",)},
    "zh": {"zh": ("长乐", "白芷")},
    "es_it": {"es": ("javi", "sergio", "maria"), "it": ("pietro", "giulia", "carlo")},
}
_MALE = {"pierre", "thomas", "max", "준서", "长乐", "javi", "sergio", "pietro", "carlo"}
_RESEARCH_TAGS: dict[str, tuple[str, ...]] = {
    "fr": ("chuckle", "cough", "gasp", "groan", "laugh", "sigh", "sniffle", "whimper", "yawn"),
    "de": ("chuckle", "cough", "gasp", "groan", "laugh", "sigh", "sniffle", "yawn"),
    "ko": ("한숨", "헐", "헛기침", "훌쩍", "하품", "낄낄", "신음", "작은 웃음", "기침", "으르렁"),
    "hi": (),
    "zh": ("嬉笑", "轻笑", "呻吟", "大笑", "咳嗽", "抽鼻子", "咳"),
    "es": ("groan", "chuckle", "gasp", "resoplido", "laugh", "yawn", "cough"),
    "it": ("sigh", "laugh", "cough", "sniffle", "groan", "yawn", "gemito", "gasp"),
}


def _research(key: str) -> Checkpoint:
    languages = _RESEARCH_VOICES[key]
    names = [name for voices in languages.values() for name in voices]
    return replace(
        ENGLISH,
        name=f"3b-{key}-ft-research_release",
        source=f"canopylabs/3b-{key}-ft-research_release",
        voices=tuple(
            Voice(name, language, "male" if name in _MALE else "female")
            for language, voices in languages.items()
            for name in voices
        ),
        emotion_tags={language: _RESEARCH_TAGS[language] for language in languages},
        voice_aliases=openai_voice_aliases(
            female=tuple(name for name in names if name not in _MALE),
            male=tuple(name for name in names if name in _MALE),
        ),
    )


PUBLISHED: tuple[Checkpoint, ...] = (
    ENGLISH,
    # The same weights in a repository that is not gated.
    replace(ENGLISH, source="unsloth/orpheus-3b-0.1-ft"),
    replace(
        ENGLISH,
        name="orpheus-tts-0.1-finetune-prod",
        source="canopylabs/orpheus-tts-0.1-finetune-prod",
    ),
    *(_research(key) for key in _RESEARCH_VOICES),
)

UNGATED_MIRROR = "unsloth/orpheus-3b-0.1-ft"


def find_published(name: str) -> Checkpoint | None:
    """Returns the published checkpoint with this hub id or short name, or None."""
    wanted = name.casefold()
    return next(
        (
            entry
            for entry in PUBLISHED
            if wanted in (entry.source.casefold(), entry.name.casefold())
        ),
        None,
    )


_EMOTION_WORDS = (
    *("happy", "normal", "digust", "disgust", "longer", "sad", "frustrated", "slow", "excited"),
    *("whisper", "panicky", "curious", "surprise", "fast", "crying", "deep", "sleepy", "angry"),
    *("high", "shout", "giggle"),
)
"""From `emotions.txt` in canopyai/Orpheus-TTS: callers use them as tags, but the released models
read them aloud."""

ALL_EMOTION_TAGS = frozenset(_EMOTION_WORDS).union(
    tag for entry in PUBLISHED for tags in entry.emotion_tags.values() for tag in tags
)
"""All tags that texts may contain; a checkpoint that lacks a tag must not read it aloud."""
