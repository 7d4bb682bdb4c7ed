"""Entry point for `uvicorn fastapi_app:app`, the command that earlier servers used."""

import sys

from orpheus_server.app import create_app
from orpheus_server.errors import StartError
from orpheus_server.server.logs import configure_logging
from orpheus_server.settings import load_settings, warnings_for

try:
    _settings = load_settings()
    configure_logging(_settings, warnings=warnings_for(_settings))
    app = create_app(_settings)
except StartError as error:
    sys.exit(str(error))
