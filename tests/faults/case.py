"""One case against a real server, the checks after it, and its row in the table."""

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from tests.faults.callers import Answer, is_speech, pcm
from tests.faults.fault_server import ANNA, BEN, SECRET_WORD, FaultServer
from tests.faults.rows import Row

REST_LIMIT_SEC = 5.0
"""Everything that a case used must be released within this time after it."""

MAX_GROWTH_BYTES = 20 * 10**6
MB = 1e6


class Case:
    """`with Case(rows, server, "12", "what is done") as case`; checks the server at the end.

    Adds a row to the table even if the case fails.
    """

    def __init__(
        self,
        rows: list[Row],
        server: FaultServer,
        number: str,
        done: str,
        *,
        may_grow: bool = False,
        text_after: str | None = None,
    ) -> None:
        self._rows = rows
        self._server = server
        self._number = number
        self._done = done
        self._may_grow = may_grow
        self._after = {} if text_after is None else {"input": text_after}
        self._seen: Counter[str] = Counter()
        self._notes: list[str] = []
        self._engine_free = self._memory = self._change = self._answer = "-"
        self._most_bytes = 0
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._watch_memory, daemon=True)

    def saw(self, answer: Answer | str) -> None:
        """Counts an answer, or a label for one."""
        self._seen[answer if isinstance(answer, str) else answer.summary] += 1

    def note(self, text: str) -> None:
        """Adds a measurement to the row."""
        self._notes.append(text)

    @property
    def grown_mb(self) -> float:
        """The peak of the memory so far, minus the memory when the case started."""
        return (self._most_bytes - self._bytes_before) / MB

    def __enter__(self) -> Self:
        assert self._server.base is not None
        self._log_start = self._server.log.stat().st_size
        self._most_bytes = self._bytes_before = self._server.rss_bytes()
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._watch.join()
        verdict = "held"
        try:
            if error is None:
                self._check()
            else:
                verdict = f"FELL SHORT: {first_line(error)}"
        except BaseException as problem:
            verdict = f"FELL SHORT: {first_line(problem)}"
            raise
        finally:
            seen = ", ".join(f"{num} x {label}" for label, num in sorted(self._seen.items()))
            self._rows.append(
                Row(
                    self._number,
                    self._done,
                    "; ".join(filter(None, [seen, *self._notes])),
                    self._engine_free,
                    self._memory,
                    self._change,
                    self._answer,
                    verdict,
                )
            )

    def _watch_memory(self) -> None:
        while not self._is_over.wait(0.05):
            try:
                self._most_bytes = max(self._most_bytes, self._server.rss_bytes())
            except OSError:
                return

    def _check(self) -> None:
        server = self._server
        base = server.base
        assert base is not None
        ended = time.monotonic()
        while busy := server.busy():
            assert time.monotonic() < ended + REST_LIMIT_SEC, f"still busy: {busy}"
            time.sleep(0.01)
        self._engine_free = f"{time.monotonic() - ended:.2f} s"
        while problems := (held := server.held()).differs_from(base):
            assert time.monotonic() < ended + REST_LIMIT_SEC, f"not given back: {problems}"
            time.sleep(0.1)
        grown_bytes = held.rss_bytes - base.rss_bytes
        self._memory = f"{held.rss_bytes / MB:.0f} ({self._most_bytes / MB:.0f}) MB"
        self._change = f"{grown_bytes / MB:+.1f} MB"
        self._check_answer()
        self._check_log()
        assert self._may_grow or grown_bytes <= MAX_GROWTH_BYTES, "memory was not given back"

    def _check_answer(self) -> None:
        answer = self._server.ask_patiently(limit_sec=20, **self._after)
        samples = pcm(answer.body)
        self._answer = (
            f"{answer.summary}, {samples.size / 24_000:.1f} s in {answer.total_sec:.1f} s"
        )
        assert (answer.status, answer.is_whole) == (200, True), answer.summary
        least_sec = 0.3 if self._after else 1.5
        assert is_speech(samples, least_sec, 6.0), "the audio afterwards is not what it should be"

    def _log(self) -> str:
        with self._server.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode()

    def _check_log(self) -> None:
        log = self._log()
        for secret in (ANNA, BEN, SECRET_WORD):
            assert secret not in log, "the log has a key or a text"
        assert "Traceback" not in log, "the log has a traceback"


def first_line(error: BaseException) -> str:
    """Returns the first line of the message, at most 200 characters."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
