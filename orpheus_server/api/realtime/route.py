"""`WS /v1/audio/stream`: text in as it is written, sound out as it is made."""

import logging

from fastapi import APIRouter, WebSocket

from orpheus_server.api.realtime.session import RealtimeSession
from orpheus_server.errors import OrpheusError
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.server.errors import error_response, orpheus_error_response
from orpheus_server.server.middleware.access import SUBPROTOCOL, caller_of, deny_handshake

logger = logging.getLogger(__name__)

router = APIRouter(tags=["speech"])
fallback = APIRouter()


@router.websocket("/audio/stream")
async def stream_speech(socket: WebSocket) -> None:
    """A session; the handshake is refused with an ordinary error while nobody can be served, and
    to a caller who has enough sessions.
    """
    services: SpeechServices = socket.app.state.runtime.services
    caller = caller_of(socket.scope)
    session_id: str = socket.scope["state"]["request_id"]
    try:
        session = RealtimeSession(socket, services, session_id, caller)
        services.session_slots.check(caller)
    except OrpheusError as error:
        response = orpheus_error_response(error)
        await deny_handshake(response, socket.scope, socket.receive, socket.send)
        return
    with services.session_slots.taken(caller):
        is_offered = SUBPROTOCOL in socket.scope.get("subprotocols", ())
        await socket.accept(subprotocol=SUBPROTOCOL if is_offered else None)
        logger.info("session=%s caller=%s began", session_id, caller)
        await session.run()


@fallback.websocket("/{path:path}")
async def refuse(socket: WebSocket) -> None:
    """There is no WebSocket here."""
    message = "There is no WebSocket here; GET / lists what there is."
    response = error_response(404, message, code="not_found")
    await deny_handshake(response, socket.scope, socket.receive, socket.send)
