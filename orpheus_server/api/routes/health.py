"""`/health`: the process is up; `/ready`: it would serve a request now."""

import time

from fastapi import APIRouter

from orpheus_server.api.routes.dependencies import CurrentRuntime
from orpheus_server.api.schemas.catalog import Features, Health, LoadedModels, Ready

router = APIRouter(tags=["health"])


@router.get("/health")
async def get_health(runtime: CurrentRuntime) -> Health:
    """Returns 200 while the process is up; the body says whether it is ready."""
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
        waiting_requests=runtime.num_waiting,
    )


@router.get("/ready")
async def get_ready(runtime: CurrentRuntime) -> Ready:
    """Returns 200 if a request would be served now, otherwise 503."""
    runtime.check_ready()
    return Ready()
