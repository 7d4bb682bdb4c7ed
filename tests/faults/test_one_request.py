"""A failure in one request must not affect the others."""

import resource
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psutil
import pytest

from orpheus_server.audio.snac.backends import Backend
from orpheus_server.audio.snac.windows import Window
from orpheus_server.interfaces import Samples
from orpheus_server.settings import Settings
from tests.faults.callers import SPEECH, is_speech, pcm
from tests.faults.conftest import FORMATS, Record
from tests.faults.fault_server import SENTENCE, FaultServer
from tests.faults.rows import Row
from tests.support.live import LiveServer, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_a_full_disk(server: FaultServer, record: Record) -> None:
    """Requests write no files, and an unwritable log is not a failure."""
    processes = [psutil.Process(server.process.pid), *server.descendants()]
    with record(server, "23 disk", "no process may write to any file: six formats, SSE") as case:
        for process in processes:
            process.rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            log_bytes = server.log.stat().st_size
            for name in FORMATS:
                for is_streamed in (True, False):
                    answer = server.ask(response_format=name, stream=is_streamed)
                    case.saw(answer)
                    assert (answer.status, answer.is_whole) == (200, True), name
            answer = server.ask(stream_format="sse")
            case.saw(answer)
            assert b"speech.audio.done" in answer.body
            assert server.log.stat().st_size == log_bytes
            case.note("not even a line of the log was written")
        finally:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            for process in processes:
                process.rlimit(psutil.RLIMIT_FSIZE, unlimited)


class BrokenBackend:
    """Fails every call with the first shared window, or every call if `fails_always`."""

    fails_always = False

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.max_windows = inner.max_windows
        self._bad: bytes | None = None
        self.num_failures = 0
        self.num_shared = 0

    def decode(self, windows: Sequence[Window], seeds: Sequence[int]) -> list[Samples]:
        # The very first window is decoded alone.
        if self._bad is None and len(windows) > 1:
            self._bad = windows[0].codes.tobytes()
        if self.fails_always or any(each.codes.tobytes() == self._bad for each in windows):
            self.num_failures += 1
            self.num_shared += len(windows) > 1
            raise RuntimeError("the decoder failed")
        return self._inner.decode(windows, seeds)


def speak(live: LiveServer) -> httpx2.Response:
    body = {"input": f"{SENTENCE} " * 2, "response_format": "pcm", "voice": "leo"}
    return httpx2.post(f"{live.url}{SPEECH}", json=body, timeout=120)


def test_two_servers_in_one_process(rows: list[Row]) -> None:
    """An engine that was used from another event loop hung forever."""
    # vLLM and its dependencies raise deprecation warnings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LiveServer(Settings()) as one:
            check_one_failure(one, rows)
            with LiveServer(Settings()) as other, ThreadPoolExecutor(4) as callers:
                both = list(callers.map(speak, [one, other] * 2))
            again = speak(one)
        with LiveServer(Settings()) as third:
            later = speak(third)
    answers = [*both, again, later]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert all(is_speech(pcm(answer.content), 3, 12) for answer in answers)
    done = "two servers in one process, each on a loop of its own; a third after them"
    rows.append(Row("24 twice", done, "6 x 200, all speak"))


def check_one_failure(live: LiveServer, rows: list[Row]) -> None:
    synthesizer = live.runtime.get_synthesizer()
    batcher = synthesizer._chunk_synthesizer._runner._decoder._batcher  # type: ignore[attr-defined]
    broken = batcher._backend = BrokenBackend(batcher._backend)
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: speak(live), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert all(is_speech(pcm(answer.content), 3, 12) for answer in answers)
    # Both shared and single calls failed; several requests may start with the same silence.
    assert broken.num_failures > broken.num_shared > 0
    rows.append(
        Row(
            "23 window",
            "the codec fails for a window of one of eight requests, whatever it is decoded with",
            f"8 x 200, all speak ({broken.num_failures} calls failed, {broken.num_shared} of them "
            "shared): its neighbours were decoded again without it, it was spoken again",
        )
    )
    broken.fails_always = True
    failed = speak(live)
    broken.fails_always = False
    again = speak(live)
    batcher._backend = broken._inner
    wait_until(lambda: not live.runtime.num_active_generations, limit_sec=5)
    error = failed.json()["error"]
    seen = (
        f"{failed.status_code} {error['code']}, x-should-retry {failed.headers['x-should-retry']}"
    )
    rows.append(
        Row(
            "23 codec",
            "the codec fails for all that a request tries",
            f"{seen}, then {again.status_code}",
        )
    )
    assert (failed.status_code, error["code"]) == (500, "generation_failed")
    assert failed.headers["x-should-retry"] == "false"
    assert is_speech(pcm(again.content), 3, 12)
