"""The exceptions of this server. They are independent of HTTP; one table maps them to statuses.

OrpheusError
├── StartError               the server cannot start: a setting, a checkpoint, the environment
├── RequestError             the caller's mistake; names the field and a machine-readable code
│   ├── UnknownModel         the requested model is not served here
│   └── ForeignMessage       a WebSocket message that is not of this server's protocol
├── AccessDenied             the caller may not use this server
│   ├── InvalidApiKey        the API key is missing or unknown
│   ├── HostNotAllowed       a Host name that is not allowed: it may be DNS rebinding
│   └── OriginNotAllowed     a web page whose origin is not allowed
├── RateLimited              the caller has reached one of its own limits
├── RequestTimedOut          the request took longer than its limit
│   └── ChatModelTimedOut    the language model did not continue in time
├── GenerationFailed         this request failed; others are not affected
│   ├── ChunkFailed          every attempt at a chunk failed, and none of them may be used
│   └── ChatModelFailed      the language model failed on this request
├── ChatNotConfigured        this server has no language model
└── EngineUnavailable        no request can be served now
    ├── EngineNotReady       the engine is loading, or is closed
    ├── StartFailed          the models cannot be loaded; the server is about to exit
    ├── EngineDead           the engine died or hangs; it is being restarted
    ├── Overloaded           more requests than can be served in real time
    ├── ShuttingDown         running requests are being finished, new ones are rejected
    └── ChatModelUnavailable the language model's server does not respond, or is full
"""


class OrpheusError(Exception):
    """Base of every exception that this package raises on purpose."""


class StartError(OrpheusError):
    """The server cannot start; the message says what to change."""


class RequestError(OrpheusError):
    """The caller's mistake; the message says what was sent and what is allowed."""

    def __init__(self, message: str, *, param: str | None, code: str) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class UnknownModel(RequestError):
    """The requested model is not served here."""


class ForeignMessage(RequestError):
    """A WebSocket message that is not of this server's protocol; its client may be of another."""


class AccessDenied(OrpheusError):
    """The caller may not use this server."""


class InvalidApiKey(AccessDenied):
    """The API key is missing or unknown."""


class HostNotAllowed(AccessDenied):
    """The Host header is not an allowed name: a web site may point any name at this machine."""


class OriginNotAllowed(AccessDenied):
    """The request is from a web page whose origin is not allowed."""


class RateLimited(OrpheusError):
    """The caller has reached one of its own limits; other callers are not affected."""

    retry_after_sec = 5


class RequestTimedOut(OrpheusError):
    """The request took longer than its limit."""


class ChatModelTimedOut(RequestTimedOut):
    """The language model did not continue in time."""


class GenerationFailed(OrpheusError):
    """This request failed inside the server; other requests are not affected."""


class ChunkFailed(GenerationFailed):
    """Every attempt at a chunk failed, and the same text would fail again."""


class ChatModelFailed(GenerationFailed):
    """The language model failed on this request; other requests are not affected."""


class ChatNotConfigured(OrpheusError):
    """This server has no language model; only a restart with other settings can change that."""


class EngineUnavailable(OrpheusError):
    """No request can be served at the moment; callers may retry after `retry_after_sec`."""

    retry_after_sec = 10


class EngineNotReady(EngineUnavailable):
    """The engine is still loading, or is closed."""

    def __init__(self, message: str, *, retry_after_sec: int = 30) -> None:
        super().__init__(message)
        self.retry_after_sec = retry_after_sec


class StartFailed(EngineUnavailable):
    """The models cannot be loaded, and the server is about to exit."""

    retry_after_sec = 30


class EngineDead(EngineUnavailable):
    """The engine died or hangs; it is being restarted."""

    retry_after_sec = 30


class Overloaded(EngineUnavailable):
    """There are more requests than can be served in real time."""

    def __init__(self, message: str, *, retry_after_sec: int) -> None:
        super().__init__(message)
        self.retry_after_sec = retry_after_sec


class ShuttingDown(EngineUnavailable):
    """Running requests are being finished; new ones are rejected, for another server to serve."""

    retry_after_sec = 10


class ChatModelUnavailable(EngineUnavailable):
    """The language model's server does not respond, or is full."""

    def __init__(self, message: str, *, retry_after_sec: int = 10) -> None:
        super().__init__(message)
        self.retry_after_sec = retry_after_sec
