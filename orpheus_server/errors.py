"""The exceptions of this server. Nothing here knows of HTTP; one table maps them to statuses.

OrpheusError
├── StartError               the server cannot start: a setting, a checkpoint, the environment
├── RequestError             the caller's mistake; names the field and a machine-readable code
│   └── UnknownModel         the model that was asked for is not served here
├── AccessDenied             the caller may not use this server
│   ├── InvalidApiKey        no key, or none of this server's
│   ├── HostNotAllowed       a name that anybody can point at this machine
│   └── OriginNotAllowed     a web page that was not allowed
├── RateLimited              this caller has used up a limit of its own
├── RequestTimedOut          the server took longer than a request may take
│   └── ChatModelTimedOut    the language model did not write on in time
├── GenerationFailed         this request failed; others are not affected
│   ├── ChunkFailed          every attempt at a chunk failed and the caller wants no second best
│   └── ChatModelFailed      the language model failed on this request
├── ChatNotConfigured        there is no language model here
└── EngineUnavailable        nobody can be served now
    ├── EngineNotReady       still loading, or closing
    ├── EngineDead           the engine died or hangs; it is being started again
    ├── Overloaded           more callers than can be served in real time
    ├── ShuttingDown         what runs is finished, nothing new begins
    └── ChatModelUnavailable the server of the language model does not answer, or is full
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


class AccessDenied(OrpheusError):
    """The caller may not use this server."""


class InvalidApiKey(AccessDenied):
    """No key was shown, or none of this server's."""


class HostNotAllowed(AccessDenied):
    """The server was asked for by a name that anybody can point at this machine."""


class OriginNotAllowed(AccessDenied):
    """A web page asks that was not allowed to."""


class RateLimited(OrpheusError):
    """This caller has used up a limit of its own; others are not affected."""

    retry_after_sec = 5


class RequestTimedOut(OrpheusError):
    """The server took longer than a request may take."""


class ChatModelTimedOut(RequestTimedOut):
    """The language model did not write on in time."""


class GenerationFailed(OrpheusError):
    """This request failed inside the server; others are not affected."""


class ChunkFailed(GenerationFailed):
    """Every attempt at a chunk failed, and the same text would fail again."""


class ChatModelFailed(GenerationFailed):
    """The language model failed on this request; others are not affected."""


class ChatNotConfigured(OrpheusError):
    """There is no language model here, and there will be none before the server's next start."""


class EngineUnavailable(OrpheusError):
    """Nobody can be served at the moment; it is worth trying again after `retry_after_sec`."""

    retry_after_sec = 10


class EngineNotReady(EngineUnavailable):
    """The engine is still loading, or the server is closing."""

    retry_after_sec = 5


class EngineDead(EngineUnavailable):
    """The engine died or hangs; it is being started again."""

    retry_after_sec = 30


class Overloaded(EngineUnavailable):
    """More callers than can be served in real time."""

    def __init__(self, message: str, *, retry_after_sec: int) -> None:
        super().__init__(message)
        self.retry_after_sec = retry_after_sec


class ShuttingDown(EngineUnavailable):
    """What runs is finished and nothing new begins; another server may take it."""

    retry_after_sec = 10


class ChatModelUnavailable(EngineUnavailable):
    """The server of the language model does not answer, or is full."""

    def __init__(self, message: str, *, retry_after_sec: int = 10) -> None:
        super().__init__(message)
        self.retry_after_sec = retry_after_sec
