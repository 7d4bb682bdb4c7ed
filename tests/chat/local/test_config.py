"""The configuration files of a language model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from orpheus_server.chat.local.config import (
    DEFAULT_SAMPLING,
    ChatConfig,
    check_chat_files,
    read_chat_config,
)
from orpheus_server.errors import StartError
from orpheus_server.interfaces import SamplingOptions


def read(folder: Path, config: Any, generation: Any = None) -> ChatConfig:
    (folder / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return read_chat_config(folder)


def test_the_tiny_gemma(tiny_gemma: Path) -> None:
    assert read_chat_config(tiny_gemma) == ChatConfig(
        max_model_len=4096,
        stop_token_ids=frozenset({1, 5}),
        sampling=SamplingOptions(temperature=1.0, top_p=0.98, repetition_penalty=1.0),
    )


def test_missing_values_have_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, {}) == ChatConfig(None, frozenset(), DEFAULT_SAMPLING)
    null = {"temperature": None, "eos_token_id": None}
    assert read(tmp_path, {"eos_token_id": 7}, null).stop_token_ids == {7}


def test_a_nested_text_config(tmp_path: Path) -> None:
    """Gemma 3 keeps its text model's limits in a section."""
    config = {"text_config": {"max_position_embeddings": 131_072, "eos_token_id": [1, 106]}}
    read_config = read(tmp_path, config)
    assert read_config.max_model_len == 131_072
    assert read_config.stop_token_ids == {1, 106}


def test_all_of_the_sampling(tmp_path: Path) -> None:
    generation = {
        "temperature": 0.6,
        "top_p": 0.9,
        "top_k": 64,
        "min_p": 0.1,
        "repetition_penalty": 1.05,
        "eos_token_id": 2,
    }
    config = read(tmp_path, {"eos_token_id": 1}, generation)
    assert config.stop_token_ids == {2}
    assert config.sampling == SamplingOptions(0.6, 0.9, 1.05, top_k=64, min_p=0.1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], r"config\.json is not a configuration"),
        ({"max_position_embeddings": "many"}, "is not configured as a language model"),
        ({"eos_token_id": ["x"]}, "is not configured as a language model"),
    ],
)
def test_invalid_configurations(tmp_path: Path, config: Any, message: str) -> None:
    with pytest.raises(StartError, match=message):
        read(tmp_path, config)


def test_a_missing_config(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"config\.json cannot be read"):
        read_chat_config(tmp_path)


def test_a_chat_model(tiny_gemma: Path, tmp_path: Path) -> None:
    check_chat_files(tiny_gemma, source="tiny")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    check_chat_files(tmp_path, source="tiny")


def test_not_a_chat_model(tiny_gemma: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_gemma, tmp_path / "base")
    (folder / "tokenizer_config.json").write_text('{"chat_template": null}')
    with pytest.raises(StartError, match="^tiny is not a chat model: .* instruction-tuned"):
        check_chat_files(folder, source="tiny")


def test_a_context_that_is_too_short(tiny_gemma: Path, tmp_path: Path) -> None:
    """The error blamed the key-value cache."""
    folder = shutil.copytree(tiny_gemma, tmp_path / "short")
    (folder / "config.json").write_text('{"max_position_embeddings": 256}')
    with pytest.raises(StartError, match="^tiny has a context of 256 tokens, but at least 512"):
        check_chat_files(folder, source="tiny")
