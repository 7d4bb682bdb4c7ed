"""`speech.json` is read, or rejected with an error that names the wrong field."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpheus_server.checkpoints.checkpoint import (
    OPENAI_VOICES,
    PromptTemplate,
    ShortestSpeech,
    TokenLayout,
    Voice,
)
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.errors import StartError
from orpheus_server.interfaces import SamplingOptions
from orpheus_server.runtime.serving_config import POCKET_FOLDER

MINIMAL: dict[str, Any] = {
    "name": "small",
    "license": "MIT",
    "codec": "codec",
    "prompt": {"before": [1], "template": "{text}", "after": [2, 3]},
    "stop_token_ids": [4],
    "audio_token_base": 96,
    "codebook_size": 128,
    "frame_slots": [0, 1, 2, 2, 1, 2, 2],
    "voices": [{"name": "Ann", "language": "en"}, {"name": "Bo", "language": "it"}],
    "sampling": {"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1},
    "sample_rate": 24000,
}


def write(folder: Path, **changes: Any) -> Path:
    """Writes a speech.json with these changes; a value of `...` leaves the field out."""
    content = {**MINIMAL, **changes}
    text = json.dumps({key: value for key, value in content.items() if value is not ...})
    (folder / "speech.json").write_text(text, encoding="utf-8")
    return folder


def test_defaults(tmp_path: Path) -> None:
    checkpoint = load_speech_json(write(tmp_path))
    assert checkpoint.source == str(tmp_path)
    assert checkpoint.hub_id is None
    assert checkpoint.layout == TokenLayout(96, 128, (0, 1, 2, 2, 1, 2, 2), (4,))
    assert checkpoint.prompt == PromptTemplate((1,), "{text}", (2, 3))
    assert checkpoint.voices == (Voice("Ann", "en"), Voice("Bo", "it"))
    assert checkpoint.sampling == SamplingOptions(0.6, 0.9, 1.0)
    assert checkpoint.text_frontend == "none"
    assert checkpoint.max_model_len == 8192
    assert checkpoint.max_audio_sec is None
    assert checkpoint.max_sentences is None
    assert {voice.shortest for voice in checkpoint.voices} == {ShortestSpeech(0.3, -0.5)}
    assert checkpoint.cpu_dtype == "bfloat16"


def test_sentences_of_an_utterance_and_the_shortest_speech_of_a_voice(tmp_path: Path) -> None:
    voices = [
        {"name": "Ann", "language": "en", "shortest": {"share": 0.8, "sec": 0}},
        {"name": "Bo", "language": "it"},
    ]
    checkpoint = load_speech_json(write(tmp_path, max_sentences=4, voices=voices))
    assert checkpoint.max_sentences == 4
    assert [voice.shortest for voice in checkpoint.voices] == [
        ShortestSpeech(share=0.8, sec=0.0),
        ShortestSpeech(share=0.3, sec=-0.5),
    ]


def test_tags_for_all_languages_or_by_language(tmp_path: Path) -> None:
    same = load_speech_json(write(tmp_path, emotion_tags=["laugh"]))
    assert same.emotion_tags == {"en": ("laugh",), "it": ("laugh",)}
    own = load_speech_json(write(tmp_path, emotion_tags={"it": ["gemito"]}))
    assert own.emotion_tags == {"it": ("gemito",)}


def test_an_alias_of_a_voice_with_a_capital(tmp_path: Path) -> None:
    """Aliases were compared case-sensitively, so this one was rejected."""
    checkpoint = load_speech_json(write(tmp_path, aliases={"Alloy": "Ann"}))
    assert checkpoint.find_voice("ALLOY") == checkpoint.voices[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"codec": ...}, "codec: Field required"),
        ({"codebook_size": "128"}, "codebook_size: Input should be a valid integer"),
        ({"codebook_size": None}, "codebook_size: Input should be a valid integer"),
        ({"codebook_size": 0}, "codebook_size: Input should be greater than or equal to 1"),
        ({"frame_slots": []}, "frame_slots: Tuple should have at least 1 item"),
        ({"stop_token_ids": 4}, "stop_token_ids: Input should be a valid array"),
        ({"sampling": {"top_p": 0.9}}, "sampling.temperature: Field required"),
        ({"voices": []}, "voices: Tuple should have at least 1 item"),
        ({"voices": [{"name": "a"}]}, "voices.0.language: Field required"),
        (
            {"voices": [{"name": "a", "language": "en", "listed": False}]},
            "voices: at least one must be listed",
        ),
        ({"aliases": {"alloy": "eve"}}, "aliases.alloy: 'eve' is not a name in 'voices'"),
        ({"cpu_dtype": "int8"}, "cpu_dtype: Input should be 'bfloat16', 'float16' or 'float32'"),
        ({"text_frontend": "espeak"}, "text_frontend: Input should be 'none' or 'gruut/en-us'"),
        ({"max_sentences": 0}, "max_sentences: Input should be greater than or equal to 1"),
        (
            {"voices": [{"name": "a", "language": "en", "shortest": {"share": 0.8}}]},
            "voices.0.shortest.sec: Field required",
        ),
        ({"max_audio_second": 6.5}, "max_audio_second: Extra inputs are not permitted"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(StartError) as caught:
        load_speech_json(write(tmp_path, **changes))
    assert str(caught.value).startswith(f"{tmp_path / 'speech.json'}: {expected}")


@pytest.mark.parametrize(
    "template", ["", "{voice}", "{speaker}: {text}", "{text", "{}", "{text.x}"]
)
def test_a_bad_template_is_named(tmp_path: Path, template: str) -> None:
    """It was not noticed until the first request, which failed with an internal error."""
    prompt = {"before": [], "template": template, "after": []}
    with pytest.raises(
        StartError, match=r"prompt\.template: it must contain \{text\}, may contain"
    ):
        load_speech_json(write(tmp_path, prompt=prompt))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file: Invalid JSON"),
        (b"{", "the file: Invalid JSON"),
        (b"[]", "the file: Input should be an object"),
        (b'{"name": "\xff"}', "the file: Invalid JSON"),
    ],
)
def test_a_file_that_is_not_a_description(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "speech.json").write_bytes(content)
    with pytest.raises(StartError) as caught:
        load_speech_json(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'speech.json'}: {expected}")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"has no speech\.json.*docs/checkpoints\.md"):
        load_speech_json(tmp_path)


def test_an_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "speech.json").mkdir()
    with pytest.raises(StartError, match="Is a directory"):
        load_speech_json(tmp_path)


def test_the_bundled_voice() -> None:
    checkpoint = load_speech_json(POCKET_FOLDER)
    slt, rms = ("tara", "leah", "jess", "mia", "zoe"), ("leo", "dan", "zac")
    found = {name: checkpoint.find_voice(name) for name in (*slt, *rms, *OPENAI_VOICES)}
    named = {name: voice.name for name, voice in found.items() if voice is not None}
    assert len(named) == 8 + 13
    assert {name: named[name] for name in (*slt, *rms)} == {
        **dict.fromkeys(slt, "slt"),
        **dict.fromkeys(rms, "rms"),
    }
    assert [voice.name for voice in checkpoint.voices] == ["rms", "slt"]
    assert checkpoint.default_voice.name == "rms"
    assert checkpoint.text_frontend == "gruut/en-us"
    assert checkpoint.cpu_dtype == "float32"
    assert (POCKET_FOLDER / checkpoint.codec).is_dir()
