"""`WS /v1/audio/stream`: receives text while it is written, sends audio while it is generated."""

import logging
from contextlib import ExitStack

from fastapi import APIRouter, WebSocket

from orpheus_server.api.realtime.session import RealtimeSession
from orpheus_server.errors import OrpheusError
from orpheus_server.runtime.loading_queue import still_loading
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.server.errors import error_response, orpheus_error_response
from orpheus_server.server.middleware.access import SUBPROTOCOL, caller_of, deny_handshake
from orpheus_server.server.responses import until_disconnect

logger = logging.getLogger(__name__)

router = APIRouter(tags=["speech"])
fallback = APIRouter()


@router.websocket("/audio/stream")
async def stream_speech(socket: WebSocket) -> None:
    """Runs a session. Keeps the handshake waiting while the model loads. Rejects it with an HTTP
    error if the engine is unavailable or the caller has too many sessions.
    """
    services: SpeechServices = socket.app.state.runtime.services
    caller = caller_of(socket.scope)
    session_id: str = socket.scope["state"]["request_id"]
    with ExitStack() as stack:
        try:
            stack.enter_context(services.session_slots.taken(caller))
            if not await _is_loaded(socket, services):
                logger.info("session=%s caller=%s left while the model loaded", session_id, caller)
                return
            session = RealtimeSession(socket, services, session_id, caller)
        except OrpheusError as error:
            response = orpheus_error_response(error)
            await deny_handshake(response, socket.scope, socket.receive, socket.send)
            return
        is_offered = SUBPROTOCOL in socket.scope.get("subprotocols", ())
        await socket.accept(subprotocol=SUBPROTOCOL if is_offered else None)
        logger.info("session=%s caller=%s began", session_id, caller)
        await session.run()


async def _is_loaded(socket: WebSocket, services: SpeechServices) -> bool:
    """Waits until the voice is loaded; returns False if the client disconnects first."""
    if still_loading(services.synthesizer) is None:
        return True
    # The message of the handshake: a read that is cancelled when the wait ends could lose it.
    await socket.receive()
    waiting = services.loading.wait(services.synthesizer)
    return await until_disconnect(socket.receive, waiting) is not None


@fallback.websocket("/{path:path}")
async def reject(socket: WebSocket) -> None:
    """Rejects the handshake on any other path."""
    message = "There is no WebSocket at this path; GET / lists the endpoints."
    response = error_response(404, message, code="not_found")
    await deny_handshake(response, socket.scope, socket.receive, socket.send)
