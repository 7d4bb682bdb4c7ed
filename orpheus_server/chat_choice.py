"""Which language model answers the chat routes, and where it runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orpheus_server.chat_models import DEFAULT_CHAT_MODEL, ECHO, ChatModelInfo, known_chat_model
from orpheus_server.checkpoint import is_hub_id
from orpheus_server.errors import StartError
from orpheus_server.settings import Settings

Place = Literal["here", "remote", "echo"]

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ChatChoice:
    """`source` is a folder or hub id where it runs here, else the name that its server knows."""

    place: Place
    source: str

    @property
    def info(self) -> ChatModelInfo:
        """What is known before it is loaded."""
        provider = "remote" if self.place == "remote" else "orpheus-server"
        # Where a folder lies is this machine's business.
        is_folder = self.place == "here" and not is_hub_id(self.source)
        name = Path(self.source).name if is_folder else self.source
        return known_chat_model(name, provider=provider)


def choose_chat(settings: Settings, *, has_cuda: bool) -> ChatChoice | None:
    """None where there is to be no chat. Raises `StartError` for settings that contradict."""
    name = settings.llm_model_name
    if settings.llm_base_url is not None:
        if name is None:
            raise StartError(
                "LLM_BASE_URL is set and LLM_MODEL_NAME is not: set the name that the server there "
                "knows its model by."
            )
        return ChatChoice("remote", name)
    if name is None:
        return None
    if name == ECHO:
        return ChatChoice("echo", name)
    if name != AUTO:
        return ChatChoice("here", name)
    return ChatChoice("here", DEFAULT_CHAT_MODEL) if has_cuda else None
