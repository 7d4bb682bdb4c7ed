"""Sends messages to a server with a language model and times the spoken replies."""

import asyncio
import itertools
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import httpx2

from orpheus_server.bench import report
from orpheus_server.bench.chat.stats import ChatResult, ChatStats, ChatTimes, chat_stats, chat_table
from orpheus_server.bench.client.speech import Clock, SpeechClient, Target, Unreachable, describe
from orpheus_server.bench.client.texts import text_for
from orpheus_server.bench.machine_card import MachineCard, ServerFacts, read_card
from orpheus_server.concurrency import run_together

_PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. All of it is written to the JSON document, so the API key is left out."""

    url: str
    voice: str
    concurrency: tuple[int, ...]
    num_requests: int | None
    max_tokens: int
    seed: int
    num_warmup: int
    timeout_sec: float

    @property
    def target(self) -> Target:
        """The server, as `SpeechClient` takes it."""
        return Target(url=self.url, voice=self.voice, timeout_sec=self.timeout_sec)


def options_of(parsed: Namespace) -> Options:
    """The options of a command line."""
    return Options(
        url=parsed.url,
        voice=parsed.voice,
        concurrency=parsed.concurrency,
        num_requests=parsed.requests,
        max_tokens=parsed.max_tokens,
        seed=parsed.seed,
        num_warmup=parsed.warmup,
        timeout_sec=parsed.timeout_sec,
    )


class ChatCaller:
    """`async with ChatCaller(...)`: sends messages and times the replies."""

    def __init__(
        self,
        options: Options,
        *,
        api_key: str | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._options = options
        self._clock = clock
        headers = {"accept-encoding": "identity"}
        if api_key is not None:
            headers["authorization"] = f"Bearer {api_key}"
        self._http = httpx2.AsyncClient(headers=headers, timeout=None, trust_env=False)

    async def __aenter__(self) -> "ChatCaller":
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def ask(self, message: str, *, seed: int) -> ChatResult:
        """Sends one message and reads the reply to its end; errors are in the result."""
        options = self._options
        body = {
            "messages": [{"role": "user", "content": message}],
            "modalities": ["text", "audio"],
            "audio": {"voice": options.voice, "format": "pcm16"},
            "stream": True,
            "max_completion_tokens": options.max_tokens,
            "seed": seed,
        }
        times, failure = ChatTimes(), None
        started = self._clock()
        try:
            async with (
                asyncio.timeout(options.timeout_sec),
                self._http.stream(
                    "POST", f"{options.target.root_url}{_PATH}", json=body
                ) as response,
            ):
                if response.status_code == 200:
                    async for line in response.aiter_lines():
                        times.take(line, self._clock() - started)
                else:
                    failure = describe(response.status_code, await response.aread())
        except TimeoutError:
            failure = "timeout"
        except httpx2.HTTPError as error:
            failure = f"broken: {type(error).__name__}"
        return times.result(self._clock() - started, failure)


def run(parsed: Namespace) -> int:
    """Measures and prints; returns 0, or 1 if the server is unreachable or a reply failed."""
    options = options_of(parsed)
    try:
        card, server, levels = asyncio.run(_measure(options, parsed.api_key))
    except Unreachable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(report.card_text(card, server))
    print(chat_table(levels))
    for stats in levels:
        for failure, count in stats.failures.items():
            print(f"  {stats.num_users} users: {count} x {failure}")
    line = report.json_line(
        {
            "benchmark": "chat",
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": asdict(options),
            "card": asdict(card),
            "server": asdict(server),
            "levels": [asdict(stats) for stats in levels],
        }
    )
    if parsed.json is not None:
        parsed.json.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 1 if any(stats.num_failed for stats in levels) else 0


async def _measure(
    options: Options, api_key: str | None
) -> tuple[MachineCard, ServerFacts, list[ChatStats]]:
    async with SpeechClient(options.target, api_key=api_key) as client:
        server = await client.facts()
    levels = []
    async with ChatCaller(options, api_key=api_key) as caller:
        for index in range(options.num_warmup):
            await caller.ask(text_for("medium", index), seed=index)
        for num_users in options.concurrency:
            num_requests = options.num_requests or max(8, 2 * num_users)
            results = await ask_all(
                caller, num_users=num_users, num_requests=num_requests, seed=options.seed
            )
            levels.append(chat_stats(results, num_users=num_users))
            print(chat_table(levels[-1:]).splitlines()[1], file=sys.stderr)
    return read_card(), server, levels


async def ask_all(
    caller: ChatCaller, *, num_users: int, num_requests: int, seed: int
) -> list[ChatResult]:
    """Sends `num_requests` messages from `num_users` concurrent users."""
    numbers = itertools.count()
    results: list[ChatResult] = []

    async def user(indexes: Iterator[int]) -> None:
        while (index := next(indexes)) < num_requests:
            results.append(await caller.ask(text_for("medium", index), seed=seed + index))

    await run_together(*(user(numbers) for _ in range(num_users)))
    return results
