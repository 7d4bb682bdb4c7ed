"""The language model of a loaded server: the only place that names its adapters."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from orpheus_server.chat_choice import ChatChoice
from orpheus_server.echo_model import EchoModel
from orpheus_server.errors import StartError
from orpheus_server.interfaces import ChatModel
from orpheus_server.settings import Settings


async def open_chat_model(
    choice: ChatChoice,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    is_cuda: bool,
    on_give_up: Callable[[], None],
) -> ChatModel:
    """Loads it, off the event loop; the stack ends it. Raises `StartError`.

    `on_give_up` is called when one that runs here was lost too often.
    """
    if choice.place == "echo":
        return EchoModel()
    raise StartError(f"LLM_MODEL_NAME={choice.source!r} cannot be loaded")
