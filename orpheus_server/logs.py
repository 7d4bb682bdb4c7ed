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


def configure_logging(settings: Settings, *, warnings: Sequence[str] = ()) -> None:
    """Sends this package's and uvicorn's lines to standard error; says `warnings` first."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
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
