"""`WS /v1/audio/stream`: text in as it is written, sound out as it is made."""

from fastapi import APIRouter, WebSocket

from orpheus_server.errors import OrpheusError
from orpheus_server.http_errors import orpheus_error_response
from orpheus_server.middleware import new_request_id
from orpheus_server.runtime import Runtime
from orpheus_server.stream_session import StreamSession

router = APIRouter(tags=["speech"])


@router.websocket("/audio/stream")
async def stream_speech(socket: WebSocket) -> None:
    """A session; the handshake is refused with an ordinary error while nobody can be served."""
    runtime: Runtime = socket.app.state.runtime
    try:
        session = StreamSession(socket, runtime, new_request_id())
    except OrpheusError as error:
        await socket.send_denial_response(orpheus_error_response(error))
        return
    await socket.accept()
    await session.run()
