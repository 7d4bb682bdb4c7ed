"""Selects the language model of the chat routes from the settings."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from orpheus_server.chat.model_info import DEFAULT_CHAT_MODEL, ECHO, known_chat_model
from orpheus_server.checkpoints.checkpoint import is_hub_id
from orpheus_server.errors import StartError
from orpheus_server.interfaces import ChatModelInfo
from orpheus_server.settings import Settings

Backend = Literal["local", "remote", "echo"]

AUTO = "auto"
LOCAL_PROVIDER = "orpheus-server"

# Characters that are allowed in a header and in the request line.
_VISIBLE = re.compile(r"[!-~]+")


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


def resolve_chat_config(settings: Settings, *, has_cuda: bool) -> ChatModelConfig | None:
    """Returns None if chat is off. Raises `StartError` for contradictory settings."""
    name = settings.llm_model_name
    if settings.llm_base_url is not None:
        if name is None:
            raise StartError(
                "LLM_BASE_URL is set and LLM_MODEL_NAME is not: set it to the name of a model on "
                "that server."
            )
        _check_key(settings)
        return ChatModelConfig("remote", name, provider=_host_of(settings.llm_base_url))
    if name is None:
        return None
    if name == ECHO:
        return ChatModelConfig("echo", name)
    if name != AUTO:
        return ChatModelConfig("local", name)
    return ChatModelConfig("local", DEFAULT_CHAT_MODEL) if has_cuda else None


def _host_of(url: str) -> str:
    """Raises `StartError` for an invalid URL, without repeating a password in it."""
    try:
        parts = urlsplit(url)
        host, has_login, _ = parts.hostname, "@" in parts.netloc, parts.port
        # As a DNS lookup would; it fails for a label that is empty or too long.
        (host or "").encode("idna")
    except ValueError:
        host, parts, has_login = None, urlsplit(""), "@" in url
    if has_login:
        raise StartError(
            "LLM_BASE_URL contains a user or password, which would reach the logs: use LLM_API_KEY."
        )
    is_plain = _VISIBLE.fullmatch(url) is not None and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not host or not is_plain:
        # The query may contain a key.
        shown = "(hidden)" if "@" in url or "?" in url else repr(url)
        raise StartError(
            f"LLM_BASE_URL={shown}: it must start with http:// or https:// and must not contain "
            "spaces, ? or #; for example http://127.0.0.1:11434/v1."
        )
    return host


def _check_key(settings: Settings) -> None:
    key = settings.llm_api_key
    if key is not None and _VISIBLE.fullmatch(key.get_secret_value()) is None:
        raise StartError(
            "LLM_API_KEY=(hidden): only visible ASCII characters without spaces are allowed."
        )
