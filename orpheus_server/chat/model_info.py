"""Language models as data: licence and attribution of those that are known by name."""

from orpheus_server.interfaces import ChatModelInfo

DEFAULT_CHAT_MODEL = "google/gemma-2-2b-it"
"""What `LLM_MODEL_NAME=auto` means where there is a CUDA GPU."""

ECHO = "echo"

GEMMA_LICENSE = "Gemma Terms of Use"
_GEMMA_URL = "https://ai.google.dev/gemma/terms"
_GEMMA_ATTRIBUTION = "Gemma by Google DeepMind, subject to the Gemma Terms of Use"


def known_chat_model(name: str, *, provider: str) -> ChatModelInfo:
    """What is known of the model of that name, whoever serves it."""
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
