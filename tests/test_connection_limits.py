"""How long a peer may leave a connection hanging."""

from orpheus_server.connection_limits import LIMITS_STATE_KEY, ConnectionLimits, limits_of
from orpheus_server.settings import Settings


def test_the_defaults_are_those_of_the_settings() -> None:
    """They count where another app is served, or the lifespan is off."""
    settings = Settings()
    limits = limits_of({})
    assert limits.receive_timeout_sec == settings.tts_receive_timeout_sec
    assert limits.client_stall_sec == settings.tts_client_stall_sec


def test_those_of_the_app() -> None:
    limits = ConnectionLimits(receive_timeout_sec=1.0, client_stall_sec=2.0)
    assert limits_of({LIMITS_STATE_KEY: limits}) is limits
    assert limits_of({LIMITS_STATE_KEY: "other"}) == ConnectionLimits()
