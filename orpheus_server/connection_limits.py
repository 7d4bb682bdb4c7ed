"""Bounds on how long a peer may leave a connection hanging."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LIMITS_STATE_KEY = "orpheus_connection_limits"
"""Where the lifespan's state has them: the server hands that state to its connections."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Defaults are those of the settings `tts_receive_timeout_sec` and `tts_client_stall_sec`."""

    receive_timeout_sec: float = 20.0
    client_stall_sec: float = 60.0


def limits_of(app_state: Mapping[str, Any]) -> ConnectionLimits:
    """What the app asks for; the defaults for an app that asks for nothing."""
    limits = app_state.get(LIMITS_STATE_KEY)
    return limits if isinstance(limits, ConnectionLimits) else ConnectionLimits()
