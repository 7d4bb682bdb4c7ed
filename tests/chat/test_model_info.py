"""What is known about a language model by its name."""

import pytest

from orpheus_server.chat.model_info import DEFAULT_CHAT_MODEL, known_chat_model
from orpheus_server.interfaces import ChatModelInfo


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (DEFAULT_CHAT_MODEL, "2.6B"),
        ("gemma2:2b", ""),
        ("/models/Gemma-2-9B-it.gguf", ""),
    ],
)
def test_gemma_by_any_name(name: str, parameters: str) -> None:
    """Its terms apply wherever it is served."""
    assert known_chat_model(name, provider="p") == ChatModelInfo(
        name=name,
        provider="p",
        parameters=parameters,
        license="Gemma Terms of Use",
        license_url="https://ai.google.dev/gemma/terms",
        attribution="Gemma by Google DeepMind, subject to the Gemma Terms of Use",
    )


def test_an_unknown_model_has_no_licence() -> None:
    assert known_chat_model("qwen3", provider="p") == ChatModelInfo("qwen3", "p", "", "", "", "")
