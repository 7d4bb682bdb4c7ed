"""`GET /docs`: interactive documentation whose scripts and styles this server provides."""

import base64
import hashlib
from importlib import resources

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from orpheus_server.api.routes.swagger_page import build_page, build_script

_PREFIX = "/swagger"
_FOLDER = resources.files("fastapi_swagger") / "resources"
_ASSETS = {
    "swagger-ui-bundle.js": "application/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def get_docs(request: Request) -> HTMLResponse:
    """Returns the page. Its content security policy allows its one inline script by hash."""
    root = request.scope.get("root_path", "").rstrip("/")
    app: FastAPI = request.app
    script = build_script(f"{root}{app.openapi_url}")
    page = build_page(script, title=f"{app.title} - Swagger UI", assets_url=f"{root}{_PREFIX}")
    return HTMLResponse(page, headers={"content-security-policy": _policy_of(script)})


@router.get("/v1/docs")
async def go_to_docs() -> RedirectResponse:
    """Redirects to `/docs`, for base URLs that end in `/v1`."""
    return RedirectResponse("/docs")


@router.get(_PREFIX + "/{name}")
async def get_asset(name: str) -> FileResponse:
    """Returns a script, style or image of the page."""
    if name not in _ASSETS:
        raise HTTPException(404)
    return FileResponse(str(_FOLDER / name), media_type=_ASSETS[name])


def _policy_of(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            # Swagger UI sets inline styles.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            # Audio responses are played from a blob.
            "media-src blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
