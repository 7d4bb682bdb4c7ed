"""Logging set-up: plain text or JSON lines on standard error."""

import json
import logging
import sys
from collections.abc import Sequence

from orpheus_server.settings import Settings


class JsonFormatter(logging.Formatter):
    """Writes one JSON object per line: time, level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record as JSON, with the traceback of an exception as one more field."""
        line = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


_MISLEADING = {"Waiting for application startup.", "Application startup complete."}
"""uvicorn logs the second one as soon as the port answers, while the model is still loading; the
lines of `runtime.startup` say when that begins and ends."""


class UvicornFilter(logging.Filter):
    """Removes query strings from uvicorn's log lines, because a client may put a key there by
    mistake. Drops uvicorn's lines about WebSockets and the start, for which we have our own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns False for records that are dropped."""
        if record.msg in _MISLEADING:
            return False
        if record.name == "uvicorn.access" and isinstance(record.args, tuple):
            record.args = tuple(
                part.partition("?")[0] if isinstance(part, str) else part for part in record.args
            )
        return '"WebSocket ' not in str(record.msg)


def configure_logging(settings: Settings, *, warnings: Sequence[str] = ()) -> None:
    """Sends this package's and uvicorn's log lines to standard error, then logs `warnings`."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    # Each logger needs its own filter: child loggers do not inherit filters.
    for name in ("uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, UvicornFilter) for each in logger.filters):
            logger.addFilter(UvicornFilter())
    for name in ("orpheus_server", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(settings.log_level)
        logger.propagate = False
    # Below INFO, uvicorn's WebSocket library logs every header, including keys.
    least = max(logging.INFO, logging.getLogger("uvicorn").level)
    logging.getLogger("uvicorn.error").setLevel(least)
    for line in warnings:
        logging.getLogger("orpheus_server").warning("%s", line)
