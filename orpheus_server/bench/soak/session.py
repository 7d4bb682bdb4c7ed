"""One WebSocket session of a soak: a few utterances, some of them cancelled."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from orpheus_server.bench.client import refusal
from orpheus_server.bench.client.sound_check import sound_defect
from orpheus_server.bench.client.speech import Clock, describe
from orpheus_server.bench.soak.mix import Ask, ScriptedUtterance
from orpheus_server.bench.soak.result import Outcome, SoakResult
from orpheus_server.concurrency import WorkerPool

_TRY_AGAIN_LATER = 1013  # https://www.iana.org/assignments/websocket
_DELTA_CHARS = 12
_RETRY_AFTER_SEC = 1
"""Used for a refusal that has no Retry-After."""


class _Ended(Exception):
    """The session ended early."""

    def __init__(self, outcome: Outcome, failure: str | None, retry_after_sec: int | None) -> None:
        self.outcome: Outcome = outcome
        self.failure = failure
        self.retry_after_sec = retry_after_sec


class SocketCaller:
    """Opens sessions with one server."""

    def __init__(
        self,
        root_url: str,
        *,
        voice: str,
        model: str,
        key_headers: Mapping[str, str],
        timeout_sec: float,
        pool: WorkerPool,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._url = "ws" + root_url.removeprefix("http") + "/v1/audio/stream"
        self._start = {"type": "session.start", "voice": voice, "model": model}
        self._key_headers = dict(key_headers)
        self._timeout_sec = timeout_sec
        self._pool = pool
        self._clock = clock

    async def hold(self, ask: Ask) -> SoakResult:
        """Runs a session with the utterances of `ask`; errors are in the result."""
        started_sec = self._clock()
        outcome: Outcome = "failed"
        failure = first_audio_sec = retry_after_sec = None
        try:
            async with (
                asyncio.timeout(self._timeout_sec),
                connect(
                    self._url,
                    additional_headers=self._key_headers,
                    compression=None,
                    proxy=None,
                    open_timeout=None,
                    # A late pong only shows that the server is slow, which other times measure.
                    ping_interval=None,
                    max_size=None,
                ) as socket,
            ):
                first_audio_sec = await self._converse(socket, ask)
            outcome = "ok"
        except TimeoutError:
            failure = "timeout"
        except _Ended as ended:
            outcome, failure = ended.outcome, ended.failure
            retry_after_sec = ended.retry_after_sec
        except InvalidStatus as error:
            answer = error.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            body = bytes(answer.body or b"")
            failure = refusal.defect(answer.status_code, headers, body)
            if failure is None and answer.status_code in refusal.REFUSALS:
                outcome, retry_after_sec = "refused", refusal.retry_after_sec(headers)
            else:
                failure = failure or describe(answer.status_code, body)
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else None
            if code == _TRY_AGAIN_LATER:
                outcome, retry_after_sec = "refused", _RETRY_AFTER_SEC
            else:
                failure = f"session closed: {code}"
        except (OSError, InvalidHandshake) as error:
            failure = f"no answer: {type(error).__name__}"
        total_sec = self._clock() - started_sec
        return SoakResult(
            ask.kind,
            outcome,
            total_sec,
            failure,
            first_audio_sec=first_audio_sec if outcome == "ok" else None,
            retry_after_sec=retry_after_sec,
        )

    async def _converse(self, socket: ClientConnection, ask: Ask) -> float | None:
        """Returns the seconds from the first text to the first audio; raises `_Ended`."""
        await _send(socket, {**self._start, "seed": ask.seed})
        event = await _receive_event(socket)
        if event.get("type") != "session.started":
            raise _ended_by(event)
        first_audio_sec = None
        for utterance in ask.utterances:
            sent_sec = self._clock()
            sound, heard_sec, is_cancelled = await self._speak(socket, utterance)
            if first_audio_sec is None and heard_sec is not None:
                first_audio_sec = heard_sec - sent_sec
            if not is_cancelled:
                defect = await self._pool.run(sound_defect, "pcm", sound, utterance.text)
                if defect is not None:
                    raise _Ended("failed", defect, None)
        return first_audio_sec

    async def _speak(
        self, socket: ClientConnection, utterance: ScriptedUtterance
    ) -> tuple[bytes, float | None, bool]:
        for start in range(0, len(utterance.text), _DELTA_CHARS):
            delta = utterance.text[start : start + _DELTA_CHARS]
            await _send(socket, {"type": "text.delta", "text": delta})
        await _send(socket, {"type": "text.done"})
        sound, heard_sec, has_cancelled = bytearray(), None, False
        while True:
            message = await socket.recv()
            if isinstance(message, bytes):
                heard_sec = heard_sec or self._clock()
                sound += message
                is_enough = (
                    utterance.cancel_byte is not None and len(sound) >= utterance.cancel_byte
                )
                if is_enough and not has_cancelled:
                    has_cancelled = True
                    await _send(socket, {"type": "cancel"})
                continue
            event = _parse(message)
            kind = event.get("type")
            if kind == "audio.done":
                break
            if kind not in ("audio.start", "chunk.start"):
                raise _ended_by(event)
        is_cancelled = event.get("is_cancelled") is True
        if is_cancelled and not has_cancelled:
            raise _Ended("failed", "cancelled without a cancel event", None)
        if not is_cancelled and event.get("num_samples") != len(sound) // 2:
            raise _Ended("failed", "num_samples of audio.done is wrong", None)
        return bytes(sound), heard_sec, is_cancelled


def _ended_by(event: Mapping[str, Any]) -> _Ended:
    error = event.get("error")
    if refusal.is_refusal_event(error):
        return _Ended("refused", None, _RETRY_AFTER_SEC)
    code = error.get("code") if isinstance(error, dict) else event.get("type")
    return _Ended("failed", f"event {str(code)[:60]}", None)


async def _receive_event(socket: ClientConnection) -> dict[str, Any]:
    return _parse(await socket.recv())


def _parse(message: str | bytes) -> dict[str, Any]:
    try:
        event = json.loads(message)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise _Ended("failed", "invalid event", None)
    return event


async def _send(socket: ClientConnection, event: Mapping[str, object]) -> None:
    await socket.send(json.dumps(event))
