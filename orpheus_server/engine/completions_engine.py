"""Completion servers behind the `TokenEngine` protocol: least busy first, with fail-over."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
from tokenizers import Tokenizer

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.engine.completion_dialects import ServerFailed
from orpheus_server.engine.completion_server import CompletionServer
from orpheus_server.engine.completions_probe import (
    CONNECT_TIMEOUT_SEC,
    NotAnswering,
    Probe,
    ServerInfo,
    Vocabulary,
    headers_of,
    vocabulary_of,
)
from orpheus_server.engine.request_check import OneLoop, check_request
from orpheus_server.errors import EngineDead, EngineNotReady, GenerationFailed, StartError
from orpheus_server.interfaces import TokenDelta, TokenRequest

logger = logging.getLogger(__name__)

HEALTH_INTERVAL_SEC = 5.0

WRITE_TIMEOUT_SEC = 10.0

JOIN_LIMIT_SEC = 2.0

_NO_SERVER = "no completion server answers"


@dataclass(frozen=True, slots=True)
class CompletionsOptions:
    """Options of the engine; `urls` are without a trailing slash.

    `folder` holds the checkpoint's tokenizer. `token_limit_sec` is the longest time between two
    tokens. With `health_interval_sec` None servers are checked only after a failure.
    """

    urls: tuple[str, ...]
    api_key: str | None
    folder: Path
    max_model_len: int
    token_limit_sec: float
    health_interval_sec: float | None = HEALTH_INTERVAL_SEC


class HealthCheck:
    """Checks one server in a thread: its health while it is up, else a whole probe."""

    def __init__(
        self, server: CompletionServer, probe: Probe, *, interval_sec: float | None
    ) -> None:
        self._server = server
        self._probe = probe
        self._interval_sec = interval_sec
        self._wake = threading.Event()
        self._is_closed = False
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name=f"health-{server.name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Lets the thread end; it may still be waiting for an answer."""
        self._is_closed = True
        self._wake.set()

    def join(self) -> None:
        """Waits for the end of the thread, unless it still waits for an answer; blocking."""
        self._thread.join(JOIN_LIMIT_SEC)

    def check_now(self) -> None:
        """Lets the thread check soon."""
        self._wake.set()

    def check(self) -> None:
        """Checks the server; blocking. Logs every change."""
        server = self._server
        try:
            if server.info is not None and server.is_up:
                # No generation, which a busy server would queue.
                self._probe.check_health(server.info)
                server.is_suspect = False
                return
            info = self._probe.look()
        except (NotAnswering, StartError) as error:
            server.is_up = False
            if str(error) != self._problem:
                self._problem = str(error)
                logger.warning("a completion server cannot be used: %s", error)
            return
        logger.info("completion server %s answers: %s", server.name, info.describe())
        self._problem = ""
        server.info, server.is_suspect, server.is_up = info, False, True

    def _run(self) -> None:
        while True:
            self._wake.wait(self._interval_sec)
            self._wake.clear()
            if self._is_closed:
                return
            self.check()


class CompletionsEngine:
    """Generates with one or several servers of completions.

    A request whose server fails continues on another one, after the ids that were yielded. It fails
    only if no other server is left.
    """

    def __init__(
        self,
        servers: Iterable[CompletionServer],
        checks: Iterable[HealthCheck],
        client: httpx2.AsyncClient,
        vocabulary: Vocabulary,
        *,
        max_model_len: int,
        tokens_per_delta: int,
    ) -> None:
        self._servers = tuple(servers)
        self._checks = dict(zip(self._servers, checks, strict=True))
        self._client = client
        self._vocabulary = vocabulary
        self._max_model_len = max_model_len
        self._tokens_per_delta = tokens_per_delta
        self._one_loop = OneLoop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def max_model_len(self) -> int:
        """The context of the smallest server, without the BOS that it adds."""
        known = [server.info for server in self._servers if server.info is not None]
        return min(info.max_model_len(self._max_model_len) for info in known)

    @property
    def num_active(self) -> int:
        """Generations of this process; those of other clients are not known."""
        return sum(server.num_active for server in self._servers)

    @property
    def kv_cache_share(self) -> float:
        """0: servers do not report it."""
        return 0.0

    @property
    def is_alive(self) -> bool:
        """True while a server answers."""
        return not self._is_closed and any(server.is_up for server in self._servers)

    def count_slots(self) -> int | None:
        """Returns the generations that the servers run at once, None if one does not say."""
        infos = [server.info for server in self._servers if server.is_up]
        slots = [None if info is None else info.num_slots for info in infos]
        return sum(filter(None, slots)) if slots and None not in slots else None

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Yields a delta per frame. Closing the generator closes the connection to the server."""
        self._loop = self._one_loop.check()
        if self._is_closed:
            raise EngineNotReady("the engine is closed")
        check_request(request, vocab_size=self._vocabulary.size, max_model_len=self.max_model_len)
        tried: set[CompletionServer] = set()
        ids: list[int] = []
        num_yielded = 0
        while True:
            server = self._choose(tried)
            tried.add(server)
            rest = replace(
                request,
                prompt_token_ids=(*request.prompt_token_ids, *ids),
                max_tokens=request.max_tokens - len(ids),
            )
            try:
                async with aclosing(server.stream(rest)) as parts:
                    async for part in parts:
                        ids += part.token_ids
                        end = len(ids)
                        if part.finish_reason is None:
                            end -= end % self._tokens_per_delta
                        if end > num_yielded or part.finish_reason is not None:
                            delta = TokenDelta(tuple(ids[num_yielded:end]), part.finish_reason)
                            num_yielded = end
                            yield delta
                return
            except ServerFailed as error:
                self._mark(server, error)
                if self._is_closed:
                    raise EngineDead("the engine is closed") from error
                logger.warning(
                    "request=%s server=%s: %s, after %d tokens",
                    request.request_id,
                    server.name,
                    error,
                    len(ids),
                )
                if len(ids) >= request.max_tokens:
                    yield TokenDelta(tuple(ids[num_yielded:]), "length")
                    return
                if not self._usable(tried):
                    if not self.is_alive:
                        raise EngineDead(_NO_SERVER) from error
                    raise GenerationFailed(str(error)) from error

    def kill(self) -> None:
        """Closes all connections; generations raise `EngineDead`."""
        self._is_closed = True
        for check in self._checks.values():
            check.stop()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._start_closing)

    async def close(self) -> None:
        """Closes all connections and ends the health checks."""
        self._is_closed = True
        for check in self._checks.values():
            check.stop()
        self._start_closing()
        assert self._closing is not None
        await self._closing

    def _start_closing(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())

    async def _close(self) -> None:
        await self._client.aclose()
        for check in self._checks.values():
            await asyncio.to_thread(check.join)

    def _mark(self, server: CompletionServer, error: ServerFailed) -> None:
        server.is_suspect = True
        if error.is_down:
            server.is_up = False
        self._checks[server].check_now()

    def _usable(self, tried: set[CompletionServer]) -> list[CompletionServer]:
        return [server for server in self._servers if server.is_up and server not in tried]

    def _choose(self, tried: set[CompletionServer]) -> CompletionServer:
        """Returns the least busy server, and of these the one that was used least."""
        usable = self._usable(tried)
        if not usable:
            raise EngineDead(_NO_SERVER)
        return min(usable, key=lambda each: (each.is_suspect, each.num_active, each.num_started))


def build_completions_engine(
    checkpoint: Checkpoint, options: CompletionsOptions
) -> CompletionsEngine:
    """Probes the servers; blocking. Raises `StartError` if one is the wrong one or none answers."""
    tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    vocabulary = vocabulary_of(checkpoint, tokenizer)
    probes = [Probe(url, options.api_key, vocabulary) for url in options.urls]
    infos = _look_at_all(probes)
    client = httpx2.AsyncClient(
        headers=headers_of(options.api_key),
        # No read timeout: the limit is between tokens, and comments are not tokens.
        timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_SEC, write=WRITE_TIMEOUT_SEC),
        # As many connections as generations, which admission limits; idle ones are kept.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
        # A proxy from the environment would also get, and could read, local requests.
        trust_env=False,
        follow_redirects=False,
    )
    servers = []
    for url, info in zip(options.urls, infos, strict=True):
        server = CompletionServer(url, client, vocabulary, token_limit_sec=options.token_limit_sec)
        server.info, server.is_up = info, info is not None
        servers.append(server)
    checks = [
        HealthCheck(server, probe, interval_sec=options.health_interval_sec)
        for server, probe in zip(servers, probes, strict=True)
    ]
    engine = CompletionsEngine(
        servers,
        checks,
        client,
        vocabulary,
        max_model_len=options.max_model_len,
        tokens_per_delta=checkpoint.layout.num_slots,
    )
    _log(servers, engine, options)
    for check in checks:
        check.start()
    return engine


def _look_at_all(probes: list[Probe]) -> list[ServerInfo | None]:
    infos: list[ServerInfo | None] = []
    problems = []
    for probe in probes:
        try:
            infos.append(probe.look())
        except NotAnswering as error:
            infos.append(None)
            problems.append(str(error))
            if len(probes) > 1:
                logger.warning("a completion server cannot be used yet: %s", error)
    if not any(infos):
        raise StartError(f"{'; '.join(problems)}. Start it, or correct TTS_COMPLETIONS_URL.")
    return infos


def _log(
    servers: list[CompletionServer], engine: CompletionsEngine, options: CompletionsOptions
) -> None:
    for server in servers:
        if server.info is not None:
            logger.info("completion server %s: %s", server.name, server.info.describe())
            if server.info.dialect.name == "text" and not server.info.dialect.has_extras:
                logger.warning(
                    "completion server %s accepts only the fields of OpenAI's API: repetition "
                    "penalty, top_k and min_p have no effect there",
                    server.name,
                )
    if engine.max_model_len < options.max_model_len:
        logger.warning(
            "context lowered from %d to %d tokens: a completion server holds no more (llama-server "
            "divides -c by --parallel)",
            options.max_model_len,
            engine.max_model_len,
        )
