"""The lookups of a checkpoint: voices, tags, token layout and hub id."""

import unicodedata
from dataclasses import replace

import pytest

from orpheus_server.checkpoints.checkpoint import (
    OPENAI_VOICES,
    Checkpoint,
    PromptTemplate,
    TokenLayout,
    Voice,
    openai_voice_aliases,
)
from orpheus_server.interfaces import SamplingOptions

LAYOUT = TokenLayout(
    audio_token_base=96, codebook_size=128, slot_levels=(0, 1, 2, 2, 1, 2, 2), stop_token_ids=(4,)
)
CHECKPOINT = Checkpoint(
    name="small",
    source="owner/small",
    layout=LAYOUT,
    prompt=PromptTemplate(before=(1,), text="{voice}: {text}", after=(2, 3)),
    voices=(
        Voice("Hidden", "en", is_listed=False),
        Voice("Anna", "en"),
        Voice("유나", "ko"),
    ),
    sampling=SamplingOptions(temperature=0.6, top_p=0.9, repetition_penalty=1.1),
    codec="codec",
    license="Apache-2.0",
    emotion_tags={"en": ("laugh", "sigh")},
    voice_aliases={"alloy": "Anna", "ash": "anna"},
)


def test_the_size_of_a_layout() -> None:
    assert LAYOUT.num_slots == 7
    assert LAYOUT.audio_token_end == 96 + 7 * 128


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Anna", "Anna"),
        ("anna", "Anna"),
        (" ANNA ", "Anna"),
        ("Alloy", "Anna"),
        ("ash", "Anna"),
        ("hidden", "Hidden"),
        ("유나", "유나"),
        (unicodedata.normalize("NFD", "유나"), "유나"),
        ("bob", None),
        ("", None),
    ],
)
def test_find_voice(name: str, expected: str | None) -> None:
    """An alias did not find a voice with a capital letter."""
    voice = CHECKPOINT.find_voice(name)
    assert (voice and voice.name) == expected


def test_default_voice_is_listed() -> None:
    """The first voice was the default even if it was not listed."""
    assert CHECKPOINT.default_voice.name == "Anna"


def test_tags_depend_on_the_voices_language() -> None:
    english, korean = CHECKPOINT.voices[1:]
    assert CHECKPOINT.tags_of(english) == {"laugh", "sigh"}
    assert CHECKPOINT.tags_of(korean) == frozenset()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("owner/small", "owner/small"),
        ("/models/small", None),
        ("./owner/small", None),
        ("./small", None),
        ("~/small", None),
        ("small", None),
        ("a/b/c", None),
    ],
)
def test_hub_id(source: str, expected: str | None) -> None:
    assert replace(CHECKPOINT, source=source).hub_id == expected


def test_openai_voices_map_to_voices_of_the_same_sex() -> None:
    assert openai_voice_aliases(female=("tara", "leah"), male=("leo",)) == {
        "alloy": "tara",
        "coral": "leah",
        "nova": "tara",
        "sage": "leah",
        "shimmer": "tara",
        "marin": "leah",
        "ash": "leo",
        "ballad": "leo",
        "echo": "leo",
        "fable": "leo",
        "onyx": "leo",
        "verse": "leo",
        "cedar": "leo",
    }


@pytest.mark.parametrize(("female", "male"), [(("f",), ()), ((), ("m",))])
def test_openai_voices_when_all_voices_have_one_sex(
    female: tuple[str, ...], male: tuple[str, ...]
) -> None:
    only = (*female, *male)[0]
    assert openai_voice_aliases(female=female, male=male) == dict.fromkeys(OPENAI_VOICES, only)
