"""`GET /metrics` in Prometheus' text format."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from orpheus_server.api.openapi import HEADERS
from orpheus_server.api.routes.dependencies import CurrentRuntime

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "content": {"text/plain": {}},
            "description": "The text format",
            "headers": HEADERS,
        }
    },
)
async def get_metrics(runtime: CurrentRuntime) -> Response:
    """Returns the counters and gauges of this process."""
    return Response(runtime.metrics.render(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
