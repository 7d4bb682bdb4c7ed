"""`create_app()`: the FastAPI application, with everything it serves built in its lifespan."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi_swagger import patch_fastapi

from orpheus_server import __version__
from orpheus_server.api_document import COMMON_RESPONSES
from orpheus_server.choice import check_start
from orpheus_server.http_errors import install_error_handlers
from orpheus_server.middleware import BodyLimit, RequestScope
from orpheus_server.routes import health, metrics, models, root, speech, stream
from orpheus_server.runtime import Runtime, open_runtime
from orpheus_server.settings import Settings, load_settings

OpenRuntime = Callable[[Settings], AbstractAsyncContextManager[Runtime]]

_MIB = 1 << 20
_BYTES_PER_CHAR = 12
"""A character outside of the basic plane, escaped in JSON, is two times six bytes."""


def create_app(
    settings: Settings | None = None, *, open_runtime: OpenRuntime | None = None
) -> FastAPI:
    """The application. Raises `StartError` for what cannot work; loads nothing before it starts.

    `open_runtime` replaces what the lifespan builds, for tests.
    """
    settings = settings or load_settings()
    check_start(settings)
    opener = open_runtime or _open_real_runtime

    def count_request(route: str, status: int) -> None:
        runtime: Runtime | None = getattr(app.state, "runtime", None)
        if runtime is not None:
            runtime.metrics.count_request(route, status)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opener(settings) as runtime:
            app.state.runtime = runtime
            yield

    app = FastAPI(
        title="Orpheus Server",
        version=__version__,
        summary="Text to speech with Orpheus behind OpenAI's API.",
        lifespan=lifespan,
        # The built-in page loads its scripts from a CDN; this one carries them.
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        # A redirect is neither an answer nor an error in the envelope: it is a 404 like others.
        redirect_slashes=False,
        responses=COMMON_RESPONSES,
    )
    patch_fastapi(app, docs_url="/docs", redirect_from_root_to_docs=False)
    install_error_handlers(app)
    app.include_router(root.router)
    for part in (speech, stream, models, health):
        # Clients differ in whether their base URL ends in /v1.
        app.include_router(part.router, prefix="/v1")
        app.include_router(part.router, include_in_schema=False)
    if settings.enable_metrics:
        app.include_router(metrics.router)
    app.add_middleware(BodyLimit, max_body_bytes=max_body_bytes(settings))
    app.add_middleware(RequestScope, count=count_request)
    return app


def max_body_bytes(settings: Settings) -> int:
    """Room for the longest input that is allowed, however it is escaped."""
    if settings.tts_max_input_chars == 0:
        return 64 * _MIB
    return _MIB + _BYTES_PER_CHAR * settings.tts_max_input_chars


# SIGTERM to itself: the server closes as if its supervisor had asked, and ends non-zero.
_open_real_runtime = partial(
    open_runtime, on_start_failure=partial(signal.raise_signal, signal.SIGTERM)
)
