"""A language model's server in its own process, which fails in the way that a request names.

The last word of the user's message is the name; `responders` has them all.
"""

import asyncio
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.server_process import ROOT, free_port
from tests.support.stub_llm import (
    Responder,
    StubLlm,
    StubRequest,
    StubResponse,
    chunk,
    events,
    hangs,
    rejects,
    says,
    waits,
)

WORDS = "The fox runs over the hill. It sleeps under an old tree, and in the morning it wakes. "
SLOW_SEC = 0.05


async def _writes_slowly(requested: StubRequest, response: StubResponse) -> None:
    response.head()
    for word in (WORDS * 4).split(" "):
        response.event(chunk(f"{word} "))
        with suppress(TimeoutError):
            await asyncio.wait_for(response.gone.wait(), SLOW_SEC)
    response.event(chunk(finish="stop"))
    response.event("[DONE]")
    response.end()


async def _is_cut(requested: StubRequest, response: StubResponse) -> None:
    response.head()
    response.event(chunk(WORDS + "And then"))
    response.close()


def responders() -> dict[str, Responder]:
    """Returns the responders by the last word of the question."""
    never = asyncio.Event()
    return {
        "soundly": says(WORDS),
        "slowly": _writes_slowly,
        "never": hangs,
        "halfway": waits(never, [chunk(WORDS + "And then")]),
        "cut": _is_cut,
        "broken": rejects(500, "It broke.", code="broken"),
        "full": rejects(429, "Too many.", headers={"retry-after": "7"}),
        "forbidden": rejects(401, "No.", code="invalid_api_key"),
        "error": events(chunk(WORDS), {"error": {"message": "It broke.", "code": "broken"}}),
        "nothing": events(),
        "silence": says(),
        "garbage": events("{not json", "<html>"),
    }


class LlmProcess:
    """`with LlmProcess() as llm` starts it; `kill` and `start` restart it on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Starts the process and waits until it listens."""
        command = [sys.executable, "-m", "tests.faults.fault_llm", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listens\n"

    def kill(self) -> None:
        """Kills the process with SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


class _Server(StubLlm):
    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.default = self._choose
        self._responders = responders()

    async def _choose(self, requested: StubRequest, response: StubResponse) -> None:
        await self._responders[requested.body["messages"][-1]["content"].split()[-1]](
            requested, response
        )


async def serve(port: int) -> None:
    """Serves until the process is killed."""
    async with _Server(port):
        print("listens", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
