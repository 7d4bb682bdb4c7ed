"""Which language model answers the chat routes, and where it runs."""

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

# What a header and the first line of a request may hold.
_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class ChatModelConfig:
    """`source` is a folder or hub id where it runs here, else the name that its server knows.

    `provider` is the host of that server.
    """

    backend: Backend
    source: str
    provider: str = LOCAL_PROVIDER

    @property
    def info(self) -> ChatModelInfo:
        """What is known before it is loaded."""
        # Where a folder lies is this machine's business.
        is_folder = self.backend == "local" and not is_hub_id(self.source)
        name = Path(self.source).name if is_folder else self.source
        return known_chat_model(name, provider=self.provider)


def resolve_chat_config(settings: Settings, *, has_cuda: bool) -> ChatModelConfig | None:
    """None where there is to be no chat. Raises `StartError` for settings that contradict."""
    name = settings.llm_model_name
    if settings.llm_base_url is not None:
        if name is None:
            raise StartError(
                "LLM_BASE_URL is set and LLM_MODEL_NAME is not: set the name that the server there "
                "knows its model by."
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
    """Raises `StartError` for what is no address of a server, without repeating a password."""
    try:
        parts = urlsplit(url)
        host, has_login, _ = parts.hostname, "@" in parts.netloc, parts.port
        # What looking the name up would do: it fails for a part that is empty or too long.
        (host or "").encode("idna")
    except ValueError:
        host, parts, has_login = None, urlsplit(""), "@" in url
    if has_login:
        raise StartError(
            "LLM_BASE_URL holds a user or a password, which would end up in logs: set LLM_API_KEY."
        )
    is_plain = _VISIBLE.fullmatch(url) is not None and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not host or not is_plain:
        # Some put a key behind the question mark.
        shown = "(hidden)" if "@" in url or "?" in url else repr(url)
        raise StartError(
            f"LLM_BASE_URL={shown}: allowed is an address that begins with http:// or https://, "
            "without spaces, ? and #, such as http://127.0.0.1:11434/v1."
        )
    return host


def _check_key(settings: Settings) -> None:
    key = settings.llm_api_key
    if key is not None and _VISIBLE.fullmatch(key.get_secret_value()) is None:
        raise StartError(
            "LLM_API_KEY=(hidden): allowed are visible ASCII characters without spaces."
        )
