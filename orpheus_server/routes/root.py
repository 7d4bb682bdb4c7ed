"""`GET /`: what there is."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from orpheus_server import __version__
from orpheus_server.schemas import ServerInfo

router = APIRouter()


@router.get("/v1", include_in_schema=False)
@router.get("/v1/", include_in_schema=False)
@router.get("/")
async def get_server_info() -> ServerInfo:
    """Name, version and endpoints."""
    return ServerInfo(
        name="Orpheus Server",
        version=__version__,
        endpoints=[
            "POST /v1/audio/speech",
            "WS /v1/audio/stream",
            "GET /v1/audio/voices",
            "GET /v1/audio/models",
            "GET /v1/models",
            "GET /v1/models/{model}",
            "GET /health",
            "GET /ready",
            "GET /docs",
        ],
    )


@router.get("/v1/docs", include_in_schema=False)
async def go_to_docs() -> RedirectResponse:
    """The page is at `/docs` whatever the base URL ends in."""
    return RedirectResponse("/docs")
