"""The exceptions of this server. Nothing here knows of HTTP; one table maps them to statuses.

OrpheusError
├── StartError            the server cannot start: a setting, a checkpoint, the environment
├── RequestError          the caller's mistake; names the field and a machine-readable code
│   └── UnknownModel      the model that was asked for is not served here
├── GenerationFailed      this request failed; others are not affected
│   └── ChunkFailed       every attempt at a chunk failed and the caller wants no second best
└── EngineUnavailable     nobody can be served now
    ├── EngineNotReady    still loading, or closing
    └── EngineDead        the engine died; it does not come back by itself
"""


class OrpheusError(Exception):
    """Base of every exception that this package raises on purpose."""


class StartError(OrpheusError):
    """The server cannot start; the message says what to change."""


class RequestError(OrpheusError):
    """The caller's mistake: what was given, what is allowed."""

    def __init__(self, message: str, *, param: str | None, code: str) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class UnknownModel(RequestError):
    """The model that was asked for is not served here."""


class GenerationFailed(OrpheusError):
    """This request failed inside the server; others are not affected."""


class ChunkFailed(GenerationFailed):
    """Every attempt at a chunk failed, and the same text would fail again."""


class EngineUnavailable(OrpheusError):
    """Nobody can be served at the moment."""


class EngineNotReady(EngineUnavailable):
    """The engine is still loading, or the server is closing."""


class EngineDead(EngineUnavailable):
    """The engine died and does not come back by itself."""
