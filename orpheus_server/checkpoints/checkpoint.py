"""The description of a checkpoint: everything that differs between Orpheus models, as data.

A checkpoint is described by the `speech.json` next to its weights (`speech_json.py`) or, if it is
published, by the table in `published.py`. No other module has token ids, voices or tags.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from orpheus_server.interfaces import DtypeName, SamplingOptions


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """The ids of audio tokens: `id = audio_token_base + slot * codebook_size + code`.

    `slot_levels` is the SNAC level of each slot of a frame, in the order of generation
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
        """The first id after the audio tokens."""
        return self.audio_token_base + self.num_slots * self.codebook_size


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """Ids before and after the text, and the format that joins voice and text."""

    before: tuple[int, ...]
    text: str
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShortestSpeech:
    """The shortest good speech: `share` of the expected seconds, plus `sec`. Less lacks words.

    The defaults leave room for any voice: fast speech is at 0.6 of the expected time, and "No!" is
    spoken in less than its estimate. Measured values are closer, and find half an utterance.
    """

    share: float = 0.3
    sec: float = -0.5


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that the checkpoint was trained on; an unlisted voice is accepted but not shown."""

    name: str
    language: str
    description: str = ""
    is_listed: bool = True
    shortest: ShortestSpeech = ShortestSpeech()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One speech model.

    `source` and `codec` are each a hub id or a folder; a relative `codec` is inside `source`.
    `max_audio_sec` is the longest utterance in training; None means the whole context.
    `max_sentences` is the most sentences of one; a voice that was trained on single sentences takes
    a full stop for the end of its text. None means no limit.
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
    max_sentences: int | None = None
    cpu_dtype: DtypeName = "bfloat16"
    parameters: str = ""
    license_url: str = ""
    attribution: str = ""

    @property
    def hub_id(self) -> str | None:
        """`source` if it is a hub id; None for a folder."""
        return self.source if is_hub_id(self.source) else None

    @property
    def default_voice(self) -> Voice:
        """The first listed voice."""
        return next(voice for voice in self.voices if voice.is_listed)

    @property
    def is_english(self) -> bool:
        """Whether the default voice speaks English."""
        return self.default_voice.language.partition("-")[0] == "en"

    def voice_named(self, name: str) -> Voice | None:
        """Returns the voice with this name, ignoring case, or None."""
        wanted = normal_name(name)
        return next((voice for voice in self.voices if normal_name(voice.name) == wanted), None)

    def find_voice(self, name: str) -> Voice | None:
        """Returns the voice with this name or else this alias, ignoring case, or None.

        English checkpoints also have Groq's names, which are not listed.
        """
        wanted = normal_name(name)
        own = self.voice_named(wanted)
        if own is not None or wanted in self.voice_aliases:
            return own or self.voice_named(self.voice_aliases[wanted])
        if self.is_english and wanted in GROQ_VOICES:
            similar = self.voice_aliases.get(GROQ_VOICES[wanted])
            return self.default_voice if similar is None else self.voice_named(similar)
        return None

    def tags_of(self, voice: Voice) -> frozenset[str]:
        """Returns the emotion tags of the voice's language."""
        return frozenset(self.emotion_tags.get(voice.language, ()))


def normal_name(name: str) -> str:
    """Returns the form in which names of voices are compared."""
    # macOS sends Hangul in decomposed form.
    return unicodedata.normalize("NFC", name.strip().casefold())


def is_hub_id(source: str) -> bool:
    """True for "owner/name", which is a hub repository unless a folder has that path."""
    owner, slash, name = source.partition("/")
    has_path_signs = source.startswith((".", "~")) or "\\" in source
    return bool(owner and slash and name) and "/" not in name and not has_path_signs


OPENAI_VOICES = (
    *("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx"),
    *("nova", "sage", "shimmer", "verse", "marin", "cedar"),
)
"""OpenAI's built-in voices (openai-openapi, `VoiceIdsShared`); each is an alias here."""

GROQ_VOICES = {
    **{"autumn": "nova", "diana": "coral", "hannah": "shimmer"},
    **{"austin": "echo", "daniel": "onyx", "troy": "ash"},
}
"""The voices of Groq's `canopylabs/orpheus-v1-english`, and OpenAI's names of similar ones."""

_MALE_OPENAI_VOICES = {"ash", "ballad", "echo", "fable", "onyx", "verse", "cedar"}


def openai_voice_aliases(*, female: tuple[str, ...], male: tuple[str, ...]) -> dict[str, str]:
    """Maps OpenAI's voice names to a checkpoint's voices, female to female and male to male."""
    aliases = {}
    pools = {True: male or female, False: female or male}
    used = {True: 0, False: 0}
    for name in OPENAI_VOICES:
        is_male = name in _MALE_OPENAI_VOICES
        pool = pools[is_male]
        aliases[name] = pool[used[is_male] % len(pool)]
        used[is_male] += 1
    return aliases
