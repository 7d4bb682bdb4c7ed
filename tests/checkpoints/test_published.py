"""The table of published checkpoints, checked against their published facts."""

import pytest

from orpheus_server.checkpoints.checkpoint import OPENAI_VOICES, Checkpoint, ShortestSpeech
from orpheus_server.checkpoints.published import (
    ALL_EMOTION_TAGS,
    ENGLISH,
    PUBLISHED,
    UNGATED_MIRROR,
    find_published,
)

ENGLISH_TAGS = "laugh chuckle sigh cough sniffle groan yawn gasp"
# Voices and tags of the research release, by language.
RESEARCH = {
    "fr": ("pierre amelie marie", "chuckle cough gasp groan laugh sigh sniffle whimper yawn"),
    "de": ("jana thomas max", "chuckle cough gasp groan laugh sigh sniffle yawn"),
    "ko": ("유나 준서", "한숨 헐 헛기침 훌쩍 하품 낄낄 신음 작은_웃음 기침 으르렁"),
    "hi": ("ऋतिका", ""),
    "zh": ("长乐 白芷", "嬉笑 轻笑 呻吟 大笑 咳嗽 抽鼻子 咳"),
    "es": ("javi sergio maria", "groan chuckle gasp resoplido laugh yawn cough"),
    "it": ("pietro giulia carlo", "sigh laugh cough sniffle groan yawn gemito gasp"),
}
SOURCES = [
    "canopylabs/orpheus-3b-0.1-ft",
    "unsloth/orpheus-3b-0.1-ft",
    "canopylabs/orpheus-tts-0.1-finetune-prod",
    *(f"canopylabs/3b-{key}-ft-research_release" for key in ("fr", "de", "ko", "hi", "zh")),
    "canopylabs/3b-es_it-ft-research_release",
]


def test_sources() -> None:
    assert [entry.source for entry in PUBLISHED] == SOURCES
    assert [entry.hub_id for entry in PUBLISHED] == SOURCES
    assert UNGATED_MIRROR in SOURCES


@pytest.mark.parametrize("checkpoint", PUBLISHED, ids=lambda entry: entry.source)
def test_token_layout(checkpoint: Checkpoint) -> None:
    layout = checkpoint.layout
    assert layout.audio_token_base == 128_266
    assert layout.codebook_size == 4096
    assert layout.audio_token_end - 1 == 156_937
    assert layout.slot_levels == (0, 1, 2, 2, 1, 2, 2)
    # End of speech first; a generation that has gone wrong ends with one of the others.
    assert layout.stop_token_ids == (128_258, 128_009, 128_262)
    assert checkpoint.prompt.text == "{voice}: {text}"


@pytest.mark.parametrize("checkpoint", PUBLISHED, ids=lambda entry: entry.source)
def test_the_prompt_has_one_begin_of_text(checkpoint: Checkpoint) -> None:
    """orpheus-speech `engine_class.py` tokenised text twice: [128000, 128259, 128000, …]."""
    assert checkpoint.prompt.before == (128_259, 128_000)
    assert checkpoint.prompt.after == (128_009, 128_260, 128_261, 128_257)


@pytest.mark.parametrize("checkpoint", PUBLISHED, ids=lambda entry: entry.source)
def test_every_openai_voice_is_an_alias(checkpoint: Checkpoint) -> None:
    for name in OPENAI_VOICES:
        voice = checkpoint.find_voice(name)
        assert voice is not None
        assert voice.is_listed
    sexes = {voice.name: voice.description for voice in checkpoint.voices}
    if {"male", "female"} <= set(sexes.values()):
        assert sexes[checkpoint.voice_aliases["nova"]] == "female"
        assert sexes[checkpoint.voice_aliases["onyx"]] == "male"


def test_english_voices() -> None:
    listed = [voice.name for voice in ENGLISH.voices if voice.is_listed]
    assert listed == ["tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe"]
    assert ENGLISH.default_voice.name == "tara"


def test_julia_is_accepted_and_not_listed() -> None:
    """canopyai#71: the reference list lacks her (and, in its code, tara and dan)."""
    julia = ENGLISH.find_voice("julia")
    assert julia is not None
    assert not julia.is_listed
    assert "julia" not in ENGLISH.voice_aliases.values()


def test_english_tags() -> None:
    """`emotions.txt` names words like "happy", which the model reads aloud (canopyai#15)."""
    assert ENGLISH.tags_of(ENGLISH.default_voice) == set(ENGLISH_TAGS.split())
    assert "happy" in ALL_EMOTION_TAGS
    assert "happy" not in ENGLISH.emotion_tags["en"]


@pytest.mark.parametrize("language", RESEARCH)
def test_research_languages(language: str) -> None:
    key = "es_it" if language in ("es", "it") else language
    checkpoint = find_published(f"3b-{key}-ft-research_release")
    assert checkpoint is not None
    names, tags = RESEARCH[language]
    voices = [voice for voice in checkpoint.voices if voice.language == language]
    assert [voice.name for voice in voices] == names.split()
    expected = {tag.replace("_", " ") for tag in tags.split()}
    assert all(checkpoint.tags_of(voice) == expected for voice in voices)
    assert expected <= ALL_EMOTION_TAGS


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("orpheus-3b-0.1-ft", "canopylabs/orpheus-3b-0.1-ft"),
        ("Unsloth/Orpheus-3B-0.1-ft", "unsloth/orpheus-3b-0.1-ft"),
        ("3b-fr-ft-research_release", "canopylabs/3b-fr-ft-research_release"),
        ("orpheus", None),
        ("", None),
    ],
)
def test_find_published(name: str, source: str | None) -> None:
    found = find_published(name)
    assert (found and found.source) == source


def test_no_limit_is_closer_than_what_was_measured() -> None:
    """The pace of these voices has not been measured, and a tag takes any time."""
    assert {entry.max_sentences for entry in PUBLISHED} == {None}
    voices = {voice for entry in PUBLISHED for voice in entry.voices}
    assert {voice.shortest for voice in voices} == {ShortestSpeech(share=0.3, sec=-0.5)}


def test_default_sampling() -> None:
    sampling = ENGLISH.sampling
    assert (sampling.temperature, sampling.top_p, sampling.repetition_penalty) == (0.6, 0.9, 1.1)
    assert ENGLISH.max_model_len == 8192
