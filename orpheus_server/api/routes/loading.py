"""How handlers wait for models that are still loading."""

import logging
from typing import cast

from fastapi import Request

from orpheus_server.runtime.loading_queue import Model, still_loading
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.server.responses import until_disconnect

logger = logging.getLogger(__name__)


async def until_loaded(
    request: Request, services: SpeechServices, caller: str, *models: Model
) -> float | None:
    """Returns how many seconds the models took to load; None if the client disconnected meanwhile.

    Raises the errors of `LoadingQueue.wait`, and `RateLimited` if too many requests of the caller
    wait. Call it last before a slot is reserved: invalid requests must not wait.
    """
    if still_loading(*models) is None:
        return 0.0
    with services.waiting_slots.taken(caller):
        waited_sec = await until_disconnect(request.receive, services.loading.wait(*models))
    if waited_sec is None:
        services.metrics.count_disconnect(cast(str, request.scope["route"].path))
        request_id = request.state.request_id
        logger.info("request=%s caller=%s left while a model was loading", request_id, caller)
    return waited_sec
