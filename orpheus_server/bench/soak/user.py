"""Sends the requests of a soak and judges the results."""

from orpheus_server.bench.client.http_caller import HttpCaller
from orpheus_server.bench.soak.mix import Mix
from orpheus_server.bench.soak.result import SoakResult, judge
from orpheus_server.bench.soak.session import SocketCaller
from orpheus_server.concurrency import WorkerPool

_SPEECH_PATH = "/v1/audio/speech"


class SoakUser:
    """Performs requests for any number of concurrent users."""

    def __init__(
        self,
        caller: HttpCaller,
        mix: Mix,
        *,
        pool: WorkerPool,
        timeout_sec: float,
    ) -> None:
        self._caller = caller
        self._mix = mix
        self._pool = pool
        self._socket_caller = SocketCaller(
            caller.root_url,
            voice=mix.voice,
            model=mix.model,
            key_headers=caller.key_headers,
            timeout_sec=timeout_sec,
            pool=pool,
        )

    async def perform(self, index: int) -> SoakResult:
        """Performs the request or session with this index."""
        ask = self._mix.ask(index)
        if ask.kind == "socket":
            return await self._socket_caller.hold(ask)
        body = self._mix.body(ask)
        if ask.kind == "half body":
            exchange = await self._caller.send_half(
                _SPEECH_PATH, body, hold_sec=ask.hold_sec, resets=ask.behaviour.resets
            )
        else:
            content_type = ask.mistake.content_type if ask.mistake else "application/json"
            exchange = await self._caller.post(
                _SPEECH_PATH, body, content_type=content_type, behaviour=ask.behaviour
            )
        return await self._pool.run(judge, ask, exchange)


def pause_after(result: SoakResult) -> float:
    """Returns the seconds before the same user sends its next request."""
    if result.retry_after_sec is not None:
        return float(result.retry_after_sec)
    # Without a pause, an unreachable server would get a thousand requests per second.
    return 1.0 if result.outcome == "failed" else 0.0
