"""`GET /`: name, version and endpoints."""

from fastapi import APIRouter

from orpheus_server import __version__
from orpheus_server.api.routes.dependencies import CurrentRuntime
from orpheus_server.api.schemas.catalog import ServerInfo

router = APIRouter()


@router.get("/v1", include_in_schema=False)
@router.get("/")
async def get_server_info(runtime: CurrentRuntime) -> ServerInfo:
    """Returns the name, version and endpoints of the server."""
    # Endpoints that depend on a setting.
    has_chat = runtime.config.chat is not None
    optional = {
        "POST /v1/chat": has_chat,
        "POST /v1/chat/completions": has_chat,
        "GET /metrics": runtime.settings.enable_metrics,
        "GET /docs": runtime.settings.enable_docs,
    }
    return ServerInfo(
        name="Orpheus Server",
        version=__version__,
        endpoints=[
            "POST /v1/audio/speech",
            "WS /v1/audio/stream",
            "GET /tts",
            "POST /tts",
            "GET /v1/audio/voices",
            "GET /v1/audio/models",
            "GET /v1/models",
            "GET /v1/models/{model}",
            "GET /health",
            "GET /ready",
            *(endpoint for endpoint, is_there in optional.items() if is_there),
        ],
    )
