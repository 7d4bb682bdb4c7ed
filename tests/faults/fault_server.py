"""A real server with API keys, and the resources that it holds."""

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.faults.callers import SPEECH, Answer, Listener, exchange, head
from tests.support.server_process import ServerProcess

ANNA, BEN = "sk-anna-0123456789abcdef", "sk-ben-fedcba9876543210"

SECRET_WORD = "quicksilver"
"""Is in every text, so that the log can be searched for texts."""

SENTENCE = f"The {SECRET_WORD} fox jumps over the lazy dog."
PAGE = f"{SENTENCE} And then it sleeps in the sun until noon. " * 10
BOOK = (PAGE * 40)[:32_768]

_SAMPLE = re.compile(r"^(orpheus_[a-z_]+)(?:\{[a-z]+=\"([a-z_]+)\"\})? ([0-9.e+-]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Held:
    """The resources that a server holds."""

    num_files: int
    num_threads: int
    num_tasks: int
    rss_bytes: int
    children: frozenset[int]

    def differs_from(self, base: "Held") -> list[str]:
        """Describes counts that exceed the base by more than two, and different child processes."""
        pairs = (
            ("files", self.num_files, base.num_files),
            ("threads", self.num_threads, base.num_threads),
            ("tasks", self.num_tasks, base.num_tasks),
        )
        found = [f"{name} {was} to {now}" for name, now, was in pairs if now - was > 2]
        if self.children != base.children:
            found.append(f"children {sorted(base.children)} to {sorted(self.children)}")
        return found


class FaultServer(ServerProcess):
    """`ServerProcess` with two callers, anna and ben."""

    def __init__(self, folder: Path, *, port: int | None = None, **environment: str) -> None:
        keys = {"API_KEYS": f"anna:{ANNA},ben:{BEN}"}
        super().__init__(folder, port=port, **{**keys, **environment})
        self.base: Held | None = None

    def request(
        self, method: str, path: str, fields: object = None, *, key: str | None = ANNA
    ) -> bytes:
        """Returns the bytes of a request after whose answer the connection is closed."""
        headers = [("Connection", "close")]
        if key is not None:
            headers.append(("Authorization", f"Bearer {key}"))
        body = b""
        if fields is not None:
            body = json.dumps(fields).encode()
            headers.append(("Content-Type", "application/json"))
            headers.append(("Content-Length", str(len(body))))
        return head(method, path, headers) + body

    def get(self, path: str) -> Answer:
        """Sends a GET request with anna's key."""
        return exchange(self.port, self.request("GET", path))

    def ask(self, key: str = ANNA, **fields: Any) -> Answer:
        """Requests speech and reads the whole answer; by default streamed PCM."""
        return exchange(self.port, self._speech(key, fields), method="POST")

    def ask_patiently(self, key: str = ANNA, *, limit_sec: float = 150.0, **fields: Any) -> Answer:
        """Like `ask`, but retries after a 429 or 503, as Retry-After says."""
        end = time.monotonic() + limit_sec
        while True:
            answer = self.ask(key, **fields)
            if answer.status not in (429, 503) or time.monotonic() > end:
                return answer
            time.sleep(min(2, int(answer.headers["retry-after"])))

    def listen(
        self, key: str = ANNA, *, receive_bytes: int | None = None, **fields: Any
    ) -> Listener:
        """Requests speech; the test reads the answer."""
        return Listener(self.port, self._speech(key, fields), receive_bytes=receive_bytes)

    def _speech(self, key: str, fields: dict[str, Any]) -> bytes:
        body = {"input": SENTENCE, "voice": "leo", "response_format": "pcm", **fields}
        return self.request("POST", SPEECH, body, key=key)

    def gauges(self) -> dict[str, float]:
        """Returns the server's metrics by `name` or `name.label`, without their prefix."""
        text = self.get("/metrics").body.decode()
        return {
            name.removeprefix("orpheus_") + (f".{label}" if label else ""): float(value)
            for name, label, value in _SAMPLE.findall(text)
        }

    @property
    def capacity(self) -> int:
        """The number of concurrent streams."""
        return int(self.gauges()["capacity_streams"])

    def busy(self) -> list[str]:
        """Returns the nonzero gauges of requests, sessions and generations."""
        gauges = self.gauges()
        names = [f"requests_active.{state}" for state in ("queued", "generating", "draining")]
        names += ["sessions_active", "generations_active"]
        return [f"{name} {gauges[name]:g}" for name in names if gauges[name]]

    def held(self) -> Held:
        """Returns the resources that the server holds now."""
        num_tasks = int(self.gauges()["tasks"])
        process = psutil.Process(self.process.pid)
        return Held(
            num_files=process.num_fds(),
            num_threads=process.num_threads(),
            num_tasks=num_tasks,
            rss_bytes=self.rss_bytes(),
            children=frozenset(each.pid for each in self.descendants()),
        )

    def rss_bytes(self) -> int:
        """Returns the memory of the server process, without its engine."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
