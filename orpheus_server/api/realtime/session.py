"""One WebSocket session: receives text while it is written, sends audio while it is generated."""

import asyncio
import logging

from fastapi import WebSocket
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from orpheus_server.api.realtime.chat_utterance import ChatUtterance
from orpheus_server.api.realtime.dialogue import Dialogue
from orpheus_server.api.realtime.events import (
    Cancel,
    ClientEvent,
    ErrorEvent,
    SessionStart,
    SessionStarted,
    TextDelta,
    TextDone,
    TextFlush,
    UserMessage,
)
from orpheus_server.api.realtime.foreign_messages import ForeignMessages
from orpheus_server.api.realtime.parsing import out_of_order, parse_event
from orpheus_server.api.realtime.sender import EventSender
from orpheus_server.api.realtime.text_intake import TextIntake
from orpheus_server.api.realtime.utterance import SessionContext
from orpheus_server.api.realtime.utterance_queue import SessionEnd, UtteranceQueue
from orpheus_server.api.requests.normalization import ignored_normalize, is_spelled_out
from orpheus_server.api.requests.speech import (
    check_options,
    ignored_fields,
    resolve_sampling,
    too_long,
)
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import ForeignMessage, OrpheusError, RequestError, ShuttingDown
from orpheus_server.interfaces import ChatMessage, ReplyOptions
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.server.errors import error_body
from orpheus_server.synthesis.job import SpeechParams
from orpheus_server.text.markdown.spoken_text import Markup

logger = logging.getLogger(__name__)

# RFC 6455, section 7.4.1
_NORMAL_CLOSURE, _GOING_AWAY, _POLICY_VIOLATION = 1000, 1001, 1008


class RealtimeSession:
    """Reads the client's events, queues utterances, and answers invalid events with an error.

    After `tts_max_session_sec`, and when the server stops, the current utterance gets no more text
    and is spoken to its end unless the client cancels it; waiting ones are dropped. Then the server
    sends an error with the code `session_expired` or `shutting_down`, and closes the connection
    with 1000 (normal closure) or 1001 (going away). A client of another protocol is disconnected
    with 1008 (policy violation), at once.

    The constructor raises `EngineUnavailable` while the speech engine is unavailable.
    """

    def __init__(
        self, socket: WebSocket, services: SpeechServices, session_id: str, caller: str
    ) -> None:
        self._socket = socket
        self._services = services
        self._id = session_id
        self._sender = EventSender(socket)
        self._dialogue = Dialogue()
        self._context = SessionContext(
            session_id,
            caller=caller,
            services=services,
            sender=self._sender,
            dialogue=self._dialogue,
        )
        self._utterances = UtteranceQueue(self._context)
        self._text = TextIntake(self._context, self._utterances)
        self._foreign = ForeignMessages()
        self._params: SpeechParams | None = None
        self._end: SessionEnd | None = None

    async def run(self) -> None:
        """Runs until the caller leaves or the session ends, and then frees both engines."""
        self._utterances.start()
        ending = asyncio.create_task(self._wait_for_end())
        try:
            while True:
                message = await self._receive(ending)
                if message is None:
                    await self._begin_end(ending.result())
                    continue
                if message["type"] == "websocket.disconnect" or self._utterances.is_over:
                    return
                await self._handle_message(message.get("text"))
                if self._foreign.reason_to_close is not None:
                    return await self._disconnect(self._foreign.reason_to_close)
        except WebSocketDisconnect:
            pass  # noticed while sending
        except Exception:  # the session's edge: its id is logged, the client gets a code
            await self._utterances.stop()
            await self._utterances.break_off()
        finally:
            await self._utterances.leave()
            await cancel_all([ending])
            logger.info("session=%s ended utterances=%d", self._id, self._utterances.num_utterances)

    async def _wait_for_end(self) -> SessionEnd:
        limit_sec = self._services.settings.tts_max_session_sec
        try:
            async with asyncio.timeout(limit_sec):
                await self._services.draining.wait()
        except TimeoutError:
            return SessionEnd(_session_expired(limit_sec), _NORMAL_CLOSURE)
        return SessionEnd(
            ShuttingDown("The server is shutting down; open a new session."), _GOING_AWAY
        )

    async def _receive(self, ending: "asyncio.Task[SessionEnd]") -> Message | None:
        """Returns the next message, or None once when the session has to end."""
        if self._end is not None:
            return await self._socket.receive()
        # Checked first: a client that sends without a pause would otherwise never let it end.
        if ending.done():
            return None
        receiving = asyncio.create_task(self._socket.receive())
        try:
            await asyncio.wait({receiving, ending}, return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() else None
        finally:
            await cancel_all([receiving])

    async def _begin_end(self, end: SessionEnd) -> None:
        self._end = end
        await self._utterances.end_after_current(end)

    async def _disconnect(self, reason: str) -> None:
        logger.info("session=%s disconnected: %s", self._id, reason)
        await self._utterances.stop()
        await self._sender.close(_POLICY_VIOLATION, reason)

    async def _handle_message(self, text: str | None) -> None:
        try:
            await self._handle(self._parse(text))
        except OrpheusError as error:
            await self._sender.send(ErrorEvent(error=error_body(error)))

    def _parse(self, text: str | None) -> ClientEvent:
        try:
            event = parse_event(text)
        except ForeignMessage:
            self._foreign.add()
            raise
        except RequestError:
            self._foreign.reset()
            raise
        self._foreign.reset()
        return event

    async def _handle(self, event: ClientEvent) -> None:
        match event:
            case Cancel():
                await self._interrupt(event.played_ms)
            case _ if self._end is not None:
                pass
            case SessionStart():
                await self._start(event)
            case UserMessage():
                await self._ask(event)
            case TextDelta() | TextFlush() | TextDone() if self._text.is_dropping:
                if isinstance(event, TextDone):
                    self._text.forget()
            case TextDelta():
                await self._text.add(event.text)
            case TextFlush():
                await self._text.flush()
            case TextDone():
                await self._text.done()

    async def _start(self, options: SessionStart) -> None:
        if self._utterances.num_pending:
            raise out_of_order("session.start", "an utterance is being spoken; 'cancel' stops it")
        voice = check_options(options, self._services)
        history = [ChatMessage(each.role, each.content) for each in options.history or ()]
        self._check_length(sum(len(each.content) for each in history), param="history")
        self._check_length(len(options.system_prompt or ""), param="system_prompt")
        self._params = SpeechParams(
            voice=voice,
            sampling=resolve_sampling(options, self._services.default_sampling),
            response_format=options.response_format or "pcm",
            speed=1.0 if options.speed is None else options.speed,
            seed=options.seed,
            markup=Markup(options.markup or "auto"),
            is_spelled_out=is_spelled_out(options.normalize, voice, self._services),
        )
        self._text.speak_as(self._params)
        self._dialogue.history.system_prompt = options.system_prompt
        if options.history is not None:
            self._dialogue.restart(history)
        await self._sender.send(
            SessionStarted(
                session_id=self._id,
                voice=voice.name,
                response_format=self._params.response_format,
                sample_rate=self._services.checkpoint.sample_rate,
                ignored_fields=[
                    *ignored_normalize(options.normalize, voice, self._services),
                    *ignored_fields(options),
                    *self._ignored_chat_fields(options),
                ],
            )
        )

    def _ignored_chat_fields(self, options: SessionStart) -> list[str]:
        if self._services.chat_info() is not None:
            return []
        fields = {"history": options.history, "system_prompt": options.system_prompt}
        return [name for name, value in fields.items() if value is not None]

    async def _ask(self, message: UserMessage) -> None:
        if self._params is None:
            raise out_of_order("chat.message", "send 'session.start' first")
        self._services.chat_model()  # raises if no model can answer
        if not message.text.strip():
            raise RequestError(
                "'text': The message must not be empty.", param="text", code="invalid_value"
            )
        self._check_length(len(message.text), param="text")
        await self._interrupt(message.played_ms)
        options = ReplyOptions(
            temperature=message.temperature,
            top_p=message.top_p,
            max_tokens=message.max_tokens,
            seed=message.seed,
        )
        utterance = ChatUtterance(
            self._utterances.num_utterances,
            self._params,
            self._context,
            question=message.text,
            options=options,
        )
        self._utterances.add(utterance)

    async def _interrupt(self, played_ms: float | None) -> None:
        self._text.forget()
        await self._utterances.cancel(played_ms)

    def _check_length(self, num_chars: int, *, param: str) -> None:
        if num_chars > self._text.max_chars:
            raise too_long(num_chars, self._text.max_chars, param=param)


def _session_expired(limit_sec: float) -> RequestError:
    return RequestError(
        f"A session ends after {limit_sec:g} seconds; open a new one.",
        param=None,
        code="session_expired",
    )
