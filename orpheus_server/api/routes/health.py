"""`/health`: does the process answer; `/ready`: would it serve a request now."""

import time

from fastapi import APIRouter

from orpheus_server.api.routes.dependencies import CurrentRuntime
from orpheus_server.api.schemas.catalog import Features, Health, LoadedModels, Ready

router = APIRouter(tags=["health"])


# Uptime monitors ask with HEAD.
@router.head("/health", include_in_schema=False)
@router.get("/health")
async def get_health(runtime: CurrentRuntime) -> Health:
    """200 as long as the process answers; the body tells the rest."""
    is_loaded = runtime.status == "healthy"
    return Health(
        status=runtime.status,
        model_loaded=is_loaded,
        timestamp=time.time(),
        models=LoadedModels(tts=is_loaded, llm=runtime.is_chat_ready),
        features=Features(
            text_to_speech=True,
            conversational_ai=runtime.config.chat is not None,
            streaming=True,
        ),
        model=runtime.config.describe(),
        active_generations=runtime.num_active_generations,
    )


@router.head("/ready", include_in_schema=False)
@router.get("/ready")
async def get_ready(runtime: CurrentRuntime) -> Ready:
    """200 only if a request would be served now, else 503."""
    runtime.check_ready()
    return Ready()
