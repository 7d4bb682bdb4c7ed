"""Doubled and final slashes of paths: removed before access control and routing read the path.

Base URLs are joined to paths in every way, so `//v1/models` and `/v1/models/` mean `/v1/models`. An
encoded slash (`%2F`) belongs to a name and stays.
"""

import re
from urllib.parse import unquote

# The router's own function: access must be decided on the path that is routed.
from starlette._utils import get_route_path as get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

PAGES_FOLDER = "/web/"
"""The folder of pages, whose paths are left as they are: the links of a page depend on them."""

_SLASHES = re.compile(r"/{2,}")


class PathMiddleware:
    """Rewrites the path in the scope itself, so that no client needs to follow a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "lifespan":
            _rewrite(scope)
        await self._app(scope, receive, send)


def _rewrite(scope: Scope) -> None:
    path: str = scope["path"]
    route_path = get_route_path(scope)
    # The root path, which may end in a slash of its own.
    root = path.removesuffix(route_path)
    raw_path = (scope.get("raw_path") or b"").decode("latin-1")
    # The raw path is optional, and whatever has changed the path may not have changed both.
    if raw_path.startswith(root) and unquote(raw_path) == path:
        rest = _without_needless_slashes(raw_path.removeprefix(root))
        scope["raw_path"] = f"{root}{rest}".encode("latin-1")
        scope["path"] = f"{root}{unquote(rest)}"
    else:
        scope["path"] = f"{root}{_without_needless_slashes(route_path)}"


def _without_needless_slashes(path: str) -> str:
    if not path.startswith("/"):
        return path
    short = _SLASHES.sub("/", path).rstrip("/") or "/"
    is_page = f"{unquote(short)}/".startswith(PAGES_FOLDER)
    return path if is_page else short
