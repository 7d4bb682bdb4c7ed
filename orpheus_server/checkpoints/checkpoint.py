"""What a checkpoint is: everything that differs between Orpheus models, as data.

A checkpoint is described by `speech.json` beside its weights (`speech_json.py`) or, for the
published ones, by the table in `published.py`. Nothing else in the package knows an id, a voice
or a tag.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from orpheus_server.interfaces import DtypeName, SamplingOptions


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """Which ids are audio: `id = audio_token_base + slot * codebook_size + code`.

    `slot_levels` gives the SNAC level of each slot of a frame, in the order of generation
    (orpheus-speech `decoder.py`: 0, 1, 2, 2, 1, 2, 2).
    """

    audio_token_base: int
    codebook_size: int
    slot_levels: tuple[int, ...]
    stop_token_ids: tuple[int, ...]

    @property
    def num_slots(self) -> int:
        """Tokens in a frame."""
        return len(self.slot_levels)

    @property
    def audio_token_end(self) -> int:
        """First id after the audio tokens."""
        return self.audio_token_base + self.num_slots * self.codebook_size


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """Ids before and after the text, and how voice and text are joined."""

    before: tuple[int, ...]
    text: str
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that the checkpoint was trained on; unlisted ones are accepted, not shown."""

    name: str
    language: str
    description: str = ""
    is_listed: bool = True


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One speech model: layout, prompt, voices, defaults, codec, licence.

    `source` is a hub id or a folder, `codec` likewise (a relative path is inside `source`).
    `max_audio_sec` is the longest utterance it was trained on; None means the whole context.
    """

    name: str
    source: str
    layout: TokenLayout
    prompt: PromptTemplate
    voices: tuple[Voice, ...]
    sampling: SamplingOptions
    codec: str
    license: str
    sample_rate: int = 24_000
    text_frontend: str = "none"
    emotion_tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    voice_aliases: Mapping[str, str] = field(default_factory=dict)
    max_model_len: int = 8192
    max_audio_sec: float | None = None
    cpu_dtype: DtypeName = "bfloat16"
    parameters: str = ""
    license_url: str = ""
    attribution: str = ""

    @property
    def hub_id(self) -> str | None:
        """`source` if it names a repository of the hub; a folder is this machine's business."""
        return self.source if is_hub_id(self.source) else None

    @property
    def default_voice(self) -> Voice:
        """The first listed voice."""
        return next(voice for voice in self.voices if voice.is_listed)

    def find_voice(self, name: str) -> Voice | None:
        """The voice of that name or alias, in any letter case; None if there is none."""
        # macOS sends Hangul in decomposed form.
        wanted = unicodedata.normalize("NFC", name.strip().casefold())
        wanted = self.voice_aliases.get(wanted, wanted).casefold()
        return next((voice for voice in self.voices if voice.name.casefold() == wanted), None)

    def tags_of(self, voice: Voice) -> frozenset[str]:
        """Emotion tags that work in this voice's language."""
        return frozenset(self.emotion_tags.get(voice.language, ()))


def is_hub_id(source: str) -> bool:
    """True for "owner/name", which names a repository of the hub unless it is a folder here."""
    return source.count("/") == 1 and not source.startswith((".", "/", "~"))


OPENAI_VOICES = (
    *("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx"),
    *("nova", "sage", "shimmer", "verse", "marin", "cedar"),
)
"""OpenAI's built-in voices (openai-openapi, `VoiceIdsShared`); each is an alias here."""

_MALE_OPENAI_VOICES = {"ash", "ballad", "echo", "fable", "onyx", "verse", "cedar"}


def openai_voice_aliases(*, female: tuple[str, ...], male: tuple[str, ...]) -> dict[str, str]:
    """OpenAI's voice names spread over a checkpoint's own, female and male kept apart."""
    aliases = {}
    pools = {True: male or female, False: female or male}
    used = {True: 0, False: 0}
    for name in OPENAI_VOICES:
        is_male = name in _MALE_OPENAI_VOICES
        pool = pools[is_male]
        aliases[name] = pool[used[is_male] % len(pool)]
        used[is_male] += 1
    return aliases
