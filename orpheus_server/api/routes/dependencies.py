"""Dependencies of the handlers.

These are coroutines although they never wait, because FastAPI runs plain functions in threads.
"""

from typing import Annotated, cast

from fastapi import Depends, Request

from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.runtime.state import Runtime
from orpheus_server.server.middleware.access import caller_of


async def _runtime(request: Request) -> Runtime:
    return cast(Runtime, request.app.state.runtime)


async def _services(request: Request) -> SpeechServices:
    return cast(SpeechServices, request.app.state.runtime.services)


async def _request_id(request: Request) -> str:
    return cast(str, request.state.request_id)


async def _caller(request: Request) -> str:
    return caller_of(request.scope)


Caller = Annotated[str, Depends(_caller)]
CurrentRuntime = Annotated[Runtime, Depends(_runtime)]
Services = Annotated[SpeechServices, Depends(_services)]
RequestId = Annotated[str, Depends(_request_id)]
