"""The parts of a running server that requests use."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from orpheus_server.chat.transcripts import TranscriptStore
from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.interfaces import ChatModel, ChatModelInfo, SamplingOptions
from orpheus_server.runtime.caller_slots import CallerSlots
from orpheus_server.runtime.loading_queue import LoadingQueue
from orpheus_server.runtime.metrics import Metrics
from orpheus_server.settings import Settings
from orpheus_server.synthesis.admission import Admission
from orpheus_server.synthesis.synthesizer import Synthesizer


@dataclass(frozen=True, slots=True)
class SpeechServices:
    """The services that requests and sessions of one server share.

    The models are looked up when they are needed, because they load after the server has started
    and their engines may die: `synthesizer` raises `EngineNotReady`, `StartFailed`, `EngineDead` or
    `ShuttingDown`, and `chat_model` also `ChatNotConfigured`. `chat_info` returns None without a
    language model. Requests wait for a model in `loading`, where each takes a slot of
    `waiting_slots`.
    """

    settings: Settings
    checkpoint: Checkpoint
    default_sampling: SamplingOptions
    admission: Admission
    session_slots: CallerSlots
    reply_slots: CallerSlots
    waiting_slots: CallerSlots
    transcripts: TranscriptStore
    metrics: Metrics
    draining: asyncio.Event
    loading: LoadingQueue
    synthesizer: Callable[[], Synthesizer]
    chat_model: Callable[[], ChatModel]
    chat_info: Callable[[], ChatModelInfo | None]
