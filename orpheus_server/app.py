"""`create_app()`: the FastAPI application, whose lifespan builds everything that it serves."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from functools import cache, partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from orpheus_server import __version__
from orpheus_server.api.openapi import COMMON_RESPONSES
from orpheus_server.api.realtime import route as realtime
from orpheus_server.api.routes import (
    chat,
    completions,
    docs,
    health,
    metrics,
    models,
    root,
    speech,
    tts,
)
from orpheus_server.runtime.preflight import check_start
from orpheus_server.runtime.startup import open_runtime
from orpheus_server.runtime.state import Runtime
from orpheus_server.server.api_keys import ApiKeys, parse_api_keys
from orpheus_server.server.errors import install_error_handlers
from orpheus_server.server.middleware.access import AccessMiddleware
from orpheus_server.server.middleware.body_limit import BodyLimitMiddleware
from orpheus_server.server.middleware.cors import CrossOriginMiddleware
from orpheus_server.server.middleware.paths import PathMiddleware
from orpheus_server.server.middleware.request_id import RequestIdMiddleware
from orpheus_server.server.middleware.security_headers import SecurityHeadersMiddleware
from orpheus_server.server.origins import parse_origins
from orpheus_server.server.protocols.limits import LIMITS_STATE_KEY, ConnectionLimits
from orpheus_server.settings import Settings, load_settings

OpenRuntime = Callable[[Settings], AbstractAsyncContextManager[Runtime]]

_MIB = 1 << 20

_BYTES_PER_CHAR = 12
"""A character outside the basic plane, escaped in JSON, is twice six bytes."""

_CHAT_PATHS = ("/chat/completions", "/chat")
_CHAT_BODY_BYTES = 4 * _MIB
"""Enough for ten thousand turns; those that exceed the model's context are dropped, oldest first.
Parsing a larger body would delay every stream."""


def create_app(
    settings: Settings | None = None, *, open_runtime: OpenRuntime | None = None
) -> FastAPI:
    """Returns the application, which loads nothing before its lifespan starts.

    `open_runtime` replaces what the lifespan builds, for tests. Raises `StartError` for settings
    that cannot work.
    """
    settings = settings or load_settings()
    check_start(settings)
    keys, origins = read_access(settings)
    opener = open_runtime or _open_real_runtime
    limits = ConnectionLimits(
        receive_timeout_sec=settings.tts_receive_timeout_sec,
        client_stall_sec=settings.tts_client_stall_sec,
    )

    def count_request(route: str, status: int) -> None:
        runtime: Runtime | None = getattr(app.state, "runtime", None)
        if runtime is not None:
            runtime.metrics.count_request(route, status)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with opener(settings) as runtime:
            app.state.runtime = runtime
            # uvicorn copies this state to each connection, which applies the limits.
            yield {LIMITS_STATE_KEY: limits}

    app = FastAPI(
        title="Orpheus Server",
        version=__version__,
        summary="Text to speech with Orpheus behind OpenAI's API.",
        lifespan=lifespan,
        # FastAPI's page loads its scripts from a CDN; ours bundles them.
        docs_url=None,
        openapi_url="/openapi.json" if settings.enable_docs else None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        # `PathMiddleware` removes final slashes; a client may lose its body or key in a redirect.
        redirect_slashes=False,
    )
    install_error_handlers(app)
    router = _build_router(has_docs=settings.enable_docs, has_metrics=settings.enable_metrics)
    app.router.routes.extend(router.routes)
    # The middleware that is added last is the outermost.
    app.add_middleware(
        BodyLimitMiddleware,
        max_body_bytes=partial(max_body_bytes, settings),
        timeout_sec=settings.tts_receive_timeout_sec,
    )
    app.add_middleware(
        AccessMiddleware,
        keys=keys,
        is_open=settings.allow_unauthenticated,
        has_public_lists=settings.public_lists,
        origins=origins,
    )
    # Outside the access check: a preflight has no key, and a page must be able to read a 401.
    app.add_middleware(CrossOriginMiddleware, origins=origins)
    app.add_middleware(PathMiddleware)
    app.add_middleware(RequestIdMiddleware, count=count_request)
    app.add_middleware(SecurityHeadersMiddleware, is_shared=bool(origins))
    return app


@cache
def _build_router(*, has_docs: bool, has_metrics: bool) -> APIRouter:
    """All routes. They hold no state of an app, so all apps of a process share them: building the
    validators of their models takes most of the time of `create_app`.
    """
    router = APIRouter(responses=COMMON_RESPONSES)
    router.include_router(root.router)
    for part in (speech, realtime, chat, completions, tts, models, health):
        # Clients differ in whether their base URL ends in /v1.
        router.include_router(part.router, prefix="/v1")
        router.include_router(part.router, include_in_schema=False)
    if has_docs:
        router.include_router(docs.router)
    if has_metrics:
        router.include_router(metrics.router)
    _add_head_routes(router)
    router.include_router(realtime.fallback)
    return router


def _add_head_routes(router: APIRouter) -> None:
    """Adds HEAD to every GET but that of `/tts`, which would generate speech that nobody hears.

    The copies are not in the OpenAPI document, which would have each operation twice.
    """
    for route in [*router.routes]:
        if not isinstance(route, APIRoute) or "GET" not in route.methods:
            continue
        if route.endpoint is not tts.speak_prompt_of_query:
            head = copy(route)
            head.methods, head.include_in_schema = {"HEAD"}, False
            router.routes.append(head)


def read_access(settings: Settings) -> tuple[ApiKeys | None, tuple[str, ...]]:
    """Parses the keys and origins of the settings. Raises `StartError`."""
    setting = settings.api_keys
    keys = None if setting is None else parse_api_keys(setting.get_secret_value())
    return keys, parse_origins(settings.cors_origins) if settings.cors_origins else ()


def max_body_bytes(settings: Settings, path: str = "") -> int:
    """Returns the limit for a path: enough for the longest allowed input in any escaping, or for a
    chat's history.
    """
    least = _CHAT_BODY_BYTES if path.endswith(_CHAT_PATHS) else 0
    if settings.tts_max_input_chars == 0:
        return 64 * _MIB
    return max(least, _MIB + _BYTES_PER_CHAR * settings.tts_max_input_chars)


# The server sends itself SIGTERM: it then closes as usual, and exits with a non-zero status.
_open_real_runtime = partial(
    open_runtime, on_start_failure=partial(signal.raise_signal, signal.SIGTERM)
)
