"""The language model of a loaded server: the only place that names its adapters."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from orpheus_server.chat.echo import EchoModel
from orpheus_server.chat.selection import ChatChoice
from orpheus_server.engine.group import EngineRoom
from orpheus_server.interfaces import ChatModel
from orpheus_server.local_chat_parts import open_local_chat
from orpheus_server.settings import Settings

if TYPE_CHECKING:
    from orpheus_server.chat.remote.model import RemoteChatModel


async def open_chat_model(
    choice: ChatChoice,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    is_cuda: bool,
    room: EngineRoom,
    on_give_up: Callable[[], None],
) -> ChatModel:
    """Loads it, off the event loop; the stack ends it. Raises `StartError`.

    Its engine is one of `room`'s; `on_give_up` is called when it was lost too often.
    """
    if choice.place == "echo":
        return EchoModel()
    if choice.place == "remote":
        remote = await asyncio.to_thread(_build_remote, choice, settings)
        stack.push_async_callback(remote.close)
        await remote.look()
        return remote
    return await open_local_chat(
        choice, settings, stack, is_cuda=is_cuda, room=room, on_give_up=on_give_up
    )


def _build_remote(choice: ChatChoice, settings: Settings) -> "RemoteChatModel":
    # Not at the top: the SDK takes a second to import, and only this place needs it.
    from orpheus_server.chat.remote.model import RemoteChatModel

    return RemoteChatModel(choice.info, settings)
