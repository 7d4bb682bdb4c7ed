"""Selects the language model of the chat routes from the settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orpheus_server.chat.model_info import DEFAULT_CHAT_MODEL, ECHO, known_chat_model
from orpheus_server.checkpoints.checkpoint import is_hub_id
from orpheus_server.errors import StartError
from orpheus_server.interfaces import ChatModelInfo
from orpheus_server.settings import Settings, check_key, host_of

Backend = Literal["local", "remote", "echo"]

AUTO = "auto"
LOCAL_PROVIDER = "orpheus-server"


@dataclass(frozen=True, slots=True)
class ChatModelConfig:
    """Where a language model runs. `source` is a folder or hub id if it runs in this process, else
    its name on the remote server, whose host is `provider`.
    """

    backend: Backend
    source: str
    provider: str = LOCAL_PROVIDER

    @property
    def info(self) -> ChatModelInfo:
        """What is known about the model before it is loaded."""
        # The path of a local folder must not reach clients.
        is_folder = self.backend == "local" and not is_hub_id(self.source)
        name = Path(self.source).name if is_folder else self.source
        return known_chat_model(name, provider=self.provider)


def resolve_chat_config(settings: Settings, *, runs_gemma: bool) -> ChatModelConfig | None:
    """Returns None if chat is off. Raises `StartError` for contradictory settings.

    `runs_gemma` says whether this process can run the model that `auto` names.
    """
    name = settings.llm_model_name
    if settings.llm_base_url is not None:
        if name is None:
            raise StartError(
                "LLM_BASE_URL is set and LLM_MODEL_NAME is not: set it to the name of a model on "
                "that server."
            )
        check_key(settings.llm_api_key, setting="LLM_API_KEY")
        host = host_of(
            settings.llm_base_url,
            setting="LLM_BASE_URL",
            key_setting="LLM_API_KEY",
            example="http://127.0.0.1:11434/v1",
        )
        return ChatModelConfig("remote", name, provider=host)
    if name is None:
        return None
    if name == ECHO:
        return ChatModelConfig("echo", name)
    if name != AUTO:
        return ChatModelConfig("local", name)
    return ChatModelConfig("local", DEFAULT_CHAT_MODEL) if runs_gemma else None
