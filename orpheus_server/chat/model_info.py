"""Licence and attribution of the language models that are known by name."""

from orpheus_server.interfaces import ChatModelInfo

DEFAULT_CHAT_MODEL = "google/gemma-2-2b-it"
"""The model that `LLM_MODEL_NAME=auto` selects if there is a CUDA GPU."""

ECHO = "echo"

GEMMA_LICENSE = "Gemma Terms of Use"
_GEMMA_URL = "https://ai.google.dev/gemma/terms"
_GEMMA_ATTRIBUTION = "Gemma by Google DeepMind, subject to the Gemma Terms of Use"


def known_chat_model(name: str, *, provider: str) -> ChatModelInfo:
    """Returns what is known about the model of that name, independent of where it is served."""
    if "gemma" in name.casefold():
        return ChatModelInfo(
            name=name,
            provider=provider,
            parameters="2.6B" if name == DEFAULT_CHAT_MODEL else "",
            license=GEMMA_LICENSE,
            license_url=_GEMMA_URL,
            attribution=_GEMMA_ATTRIBUTION,
        )
    return ChatModelInfo(name=name, provider=provider)
