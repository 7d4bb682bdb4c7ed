"""Log lines: facts with ids, for people or as JSON."""

import json
import logging
import sys
from collections.abc import Sequence

from orpheus_server.settings import Settings


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; a traceback is a field of it."""
        line = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class HideUrls(logging.Filter):
    """Keeps addresses that callers ask for out of uvicorn's lines: a query can hold anything, a
    key that was put there by mistake too. Sessions have lines of our own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what is not logged at all."""
        if record.name == "uvicorn.access" and isinstance(record.args, tuple):
            record.args = tuple(
                part.partition("?")[0] if isinstance(part, str) else part for part in record.args
            )
        return '"WebSocket ' not in str(record.msg)


def configure_logging(settings: Settings, *, warnings: Sequence[str] = ()) -> None:
    """Sends this package's and uvicorn's lines to standard error; says `warnings` first."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    # On each that writes lines: filters do not count for the loggers below.
    for name in ("uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, HideUrls) for each in logger.filters):
            logger.addFilter(HideUrls())
    for name in ("orpheus_server", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(settings.log_level)
        logger.propagate = False
    # Below INFO, the library behind its WebSockets logs every header, keys among them.
    least = max(logging.INFO, logging.getLogger("uvicorn").level)
    logging.getLogger("uvicorn.error").setLevel(least)
    for line in warnings:
        logging.getLogger("orpheus_server").warning("%s", line)
