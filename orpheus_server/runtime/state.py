"""The state of a running server: settings, models, limits, and whether it is ready."""

import asyncio
import time
from typing import Literal

from orpheus_server.chat.transcripts import TranscriptStore
from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.download import Download
from orpheus_server.engine.group import EngineGroup
from orpheus_server.engine.supervisor import (
    LANGUAGE_MODEL,
    SPEECH_ENGINE,
    EngineSupervisor,
    being_restarted,
)
from orpheus_server.errors import (
    ChatNotConfigured,
    EngineDead,
    EngineNotReady,
    Overloaded,
    ShuttingDown,
    StartError,
    StartFailed,
)
from orpheus_server.interfaces import ChatModel, ChatModelInfo, SamplingOptions, TokenEngine
from orpheus_server.runtime.caller_slots import CallerSlots
from orpheus_server.runtime.loading_queue import LoadingQueue
from orpheus_server.runtime.metrics import Metrics
from orpheus_server.runtime.serving_config import ServingConfig
from orpheus_server.runtime.snapshot import ChatState, Snapshot, gpu_memory
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.runtime.speech_stack import SpeechStack, build_synthesizer
from orpheus_server.settings import Settings
from orpheus_server.synthesis.admission import MAX_WAITING, Admission
from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.chunk_synthesizer import AttemptCounts, ChunkSynthesizer
from orpheus_server.synthesis.synthesizer import Synthesizer
from orpheus_server.synthesis.wait_estimate import retry_after_sec

Status = Literal["healthy", "starting", "degraded"]

LOADING_SEC = 30
"""About the time that a model takes to load once its files are here. Callers are told to retry
after it; on CUDA a first start takes longer, but more retries cost less than longer waits."""

MAX_REPLIES = 256
"""Concurrent text replies of one caller if `TTS_MAX_REQUESTS_PER_KEY` is not set."""


class Runtime:
    """The state behind the routes; the models are available only once they are loaded."""

    def __init__(self, settings: Settings, config: ServingConfig) -> None:
        self.settings = settings
        self.config = config
        self.started_at = time.time()
        self.start_error: StartError | None = None
        self.is_closing = False
        self.preparing: asyncio.Task[None] | None = None
        self.draining = asyncio.Event()
        self.download = Download()
        self.loading = LoadingQueue(max_wait_sec=settings.tts_queue_wait_sec)
        self.capacity = Capacity(ceiling=settings.tts_max_streams or config.max_num_seqs)
        self.admission = Admission(
            lambda: self.capacity.num_streams,
            max_wait_sec=settings.tts_queue_wait_sec,
            max_per_caller=settings.tts_max_requests_per_key,
        )
        self.metrics = Metrics(self, has_chat=config.chat is not None)
        self.services = SpeechServices(
            settings=settings,
            checkpoint=config.checkpoint,
            default_sampling=self._default_sampling(),
            admission=self.admission,
            session_slots=CallerSlots(
                settings.tts_max_sessions_per_key, label="WebSocket sessions"
            ),
            reply_slots=CallerSlots(
                settings.tts_max_requests_per_key or MAX_REPLIES, label="replies"
            ),
            waiting_slots=CallerSlots(
                settings.tts_max_requests_per_key or MAX_WAITING, label="requests"
            ),
            transcripts=TranscriptStore(),
            metrics=self.metrics,
            draining=self.draining,
            loading=self.loading,
            synthesizer=self.get_synthesizer,
            chat_model=self.get_chat_model,
            chat_info=self.get_chat_info,
        )
        self._engine: TokenEngine | None = None
        self.supervisor: EngineSupervisor | None = None
        self.engine_group = EngineGroup()
        self._chunk_synthesizer: ChunkSynthesizer | None = None
        self._synthesizer: Synthesizer | None = None
        self._chat: ChatModel | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that is served, or that will be once it is loaded."""
        return self.config.checkpoint

    def _default_sampling(self) -> SamplingOptions:
        """Returns the checkpoint's sampling options, overridden by the settings."""
        return self.checkpoint.sampling.overridden_by(
            temperature=self.settings.tts_temperature,
            top_p=self.settings.tts_top_p,
            repetition_penalty=self.settings.tts_repetition_penalty,
        )

    def get_synthesizer(self) -> Synthesizer:
        """Returns the synthesizer.

        Raises `EngineNotReady` while it loads, `StartFailed` if it cannot, `EngineDead` if its
        engine has died, `ShuttingDown`.
        """
        self._check_serving()
        if self._synthesizer is None or self._engine is None:
            raise self._still_loading("speech model")
        if not self._engine.is_alive:
            if self.config.engine == "completions":
                raise EngineDead("No completion server answers; try again in half a minute.")
            raise EngineDead(being_restarted(SPEECH_ENGINE))
        return self._synthesizer

    def get_chat_model(self) -> ChatModel:
        """Returns the language model.

        Raises `ChatNotConfigured`, `EngineNotReady` while it loads, `StartFailed` if it cannot,
        `EngineDead` if it has died, `ShuttingDown`.
        """
        if self.config.chat is None:
            raise ChatNotConfigured(
                "This server has no language model. Set LLM_MODEL_NAME: echo to try it, auto for "
                "Gemma on a CUDA GPU, a folder or hub id, or with LLM_BASE_URL a name that the "
                "server there knows."
            )
        self._check_serving()
        if self._chat is None:
            raise self._still_loading(LANGUAGE_MODEL)
        if not self._chat.is_alive:
            raise EngineDead(being_restarted(LANGUAGE_MODEL))
        return self._chat

    def _check_serving(self) -> None:
        if self.draining.is_set():
            raise ShuttingDown("The server is stopping; another one may take the request.")
        if self.start_error is not None:
            # Without the reason, which may name a folder of this machine.
            raise StartFailed("The server cannot start and is about to exit; its log says why.")

    def _still_loading(self, label: str) -> EngineNotReady:
        retry_sec = retry_after_sec(LOADING_SEC + self.download.left_sec)
        message = f"The {label} is still loading; try again in {retry_sec} s."
        return EngineNotReady(message, retry_after_sec=retry_sec)

    def get_chat_info(self) -> ChatModelInfo | None:
        """Returns what is known of the language model, or None if none is configured."""
        if self._chat is not None:
            return self._chat.info
        return None if self.config.chat is None else self.config.chat.info

    @property
    def is_chat_ready(self) -> bool:
        """True if a chat request would be accepted now."""
        return self._chat is not None and self._chat.is_alive

    def check_ready(self) -> None:
        """Raises the error that a new request would get now."""
        self.get_synthesizer()
        if self.config.chat is not None:
            self.get_chat_model()
        if not self.admission.is_open:
            raise Overloaded("The server is at its capacity for speech.", retry_after_sec=5)

    def begin_drain(self) -> None:
        """Rejects new requests from now on; running ones continue."""
        self.draining.set()
        self.admission.close()
        self.engine_group.stop_restarting()
        self.loading.notify()

    def fail(self, error: StartError) -> None:
        """Rejects all requests from now on: the server cannot start, or an engine is lost."""
        self.start_error = error
        self.loading.notify()

    @property
    def engine(self) -> TokenEngine | None:
        """The engine once it is loaded."""
        return self._engine

    @property
    def status(self) -> Status:
        """`starting`, `healthy`, or `degraded` while the engine is dead."""
        if self._engine is None:
            return "starting"
        return "healthy" if self._engine.is_alive else "degraded"

    @property
    def num_active_generations(self) -> int:
        """Generations in the engine now."""
        return self._engine.num_active if self._engine else 0

    @property
    def num_waiting(self) -> int:
        """Requests that wait for a model to load or for an engine slot."""
        return self.loading.num_waiting + self.admission.num_waiting

    @property
    def counts(self) -> AttemptCounts:
        """Attempts and faults since the start."""
        return self._chunk_synthesizer.counts if self._chunk_synthesizer else AttemptCounts()

    def snapshot(self) -> Snapshot:
        """Returns the current values for the metrics."""
        counts = self.counts
        return Snapshot(
            num_queued=self.num_waiting,
            num_generating=self.admission.num_running,
            num_draining=self.admission.num_delivering,
            num_sessions=self.services.session_slots.num_taken,
            num_generations=self.num_active_generations,
            num_streams_capacity=self.capacity.num_streams,
            is_engine_up=self.status == "healthy",
            num_engine_restarts=self.supervisor.num_restarts if self.supervisor else 0,
            kv_cache_share=self._engine.kv_cache_share if self._engine else 0.0,
            rejections={str(reason): num for reason, num in self.admission.rejections.items()},
            attempt_faults={str(fault): count for fault, count in counts.faults.items()},
            rollbacks={str(fault): count for fault, count in counts.rollbacks.items()},
            num_chunks=counts.num_chunks,
            num_degraded_chunks=counts.num_degraded_chunks,
            gpu_memory=gpu_memory(self.config.codec_device) if self._engine else (),
            chat=self._chat_state(),
        )

    def _chat_state(self) -> ChatState | None:
        if self.config.chat is None:
            return None
        model, local = self._chat, self.engine_group.language_model
        return ChatState(
            is_up=self.is_chat_ready,
            num_replies=model.num_active if model else 0,
            num_restarts=local.num_restarts if local else 0,
        )

    def assemble(self, speech: SpeechStack) -> Synthesizer:
        """Returns the stack's synthesizer; requests cannot use it before `open_for_requests`."""
        if speech.num_slots is not None:
            self.capacity.limit_to(speech.num_slots)
        self._chunk_synthesizer, synthesizer = build_synthesizer(
            speech, self.config, self.settings, capacity=self.capacity
        )
        return synthesizer

    def open_for_requests(self, engine: TokenEngine, synthesizer: Synthesizer) -> None:
        """Serves requests from now on."""
        self._engine, self._synthesizer = engine, synthesizer
        self.loading.notify()

    def open_chat(self, model: ChatModel) -> None:
        """Serves chat requests from now on."""
        self._chat = model
        self.loading.notify()

    def close_for_requests(self) -> None:
        """Answers requests with `ShuttingDown` from now on."""
        self._engine, self._synthesizer, self._chat = None, None, None
        self.begin_drain()
