"""`GET /docs`: interactive documentation whose scripts and styles this server provides."""

import base64
import hashlib
import re
from importlib import resources

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

_PREFIX = "/swagger"
_FOLDER = resources.files("fastapi_swagger") / "resources"
_ASSETS = {
    "swagger-ui-bundle.js": "application/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def get_docs(request: Request) -> HTMLResponse:
    """Returns the page. Its content security policy allows its one inline script by hash."""
    root = request.scope.get("root_path", "").rstrip("/")
    app: FastAPI = request.app
    page = get_swagger_ui_html(
        openapi_url=f"{root}{app.openapi_url}",
        title=f"{app.title} - Swagger UI",
        swagger_js_url=f"{root}{_PREFIX}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_PREFIX}/swagger-ui.css",
        swagger_favicon_url=f"{root}{_PREFIX}/favicon-32x32.png",
        swagger_ui_parameters={
            "tryItOutEnabled": True,
            "filter": True,
            "displayRequestDuration": True,
        },
    )
    page.headers["content-security-policy"] = _policy_of(bytes(page.body).decode())
    return page


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


def _policy_of(page: str) -> str:
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in _INLINE_SCRIPT.findall(page)
    ]
    scripts = " ".join(f"'sha256-{each}'" for each in hashes)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {scripts}",
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
