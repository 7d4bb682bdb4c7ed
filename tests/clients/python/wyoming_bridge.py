"""Home Assistant's bridge wyoming-openai: `wyoming_bridge.py URL KEY TEXT...`.

Starts the bridge and speaks through it as Home Assistant does.
"""

import asyncio
import base64
import json
import socket
import sys
import time
from typing import Any

from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.tts import Synthesize

START_LIMIT_SEC = 60.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def connect(port: int) -> AsyncTcpClient:
    """Connects as soon as the bridge listens."""
    end = time.monotonic() + START_LIMIT_SEC
    while True:
        client = AsyncTcpClient("127.0.0.1", port)
        try:
            await client.connect()
            return client
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)


async def speak(port: int, text: str) -> dict[str, Any]:
    """The samples that arrive, the time to the first and the last of them, and an error."""
    client = await connect(port)
    started = time.monotonic()
    samples, error, first_sec = b"", None, None
    await client.write_event(Synthesize(text=text).event())
    while True:
        event = await client.read_event()
        if event is None or AudioStop.is_type(event.type):
            break
        if Error.is_type(event.type):
            error = Error.from_event(event).text
            break
        if AudioChunk.is_type(event.type):
            chunk = AudioChunk.from_event(event)
            assert (chunk.rate, chunk.width, chunk.channels) == (24_000, 2, 1)
            first_sec = first_sec or time.monotonic() - started
            samples += chunk.audio
    await client.disconnect()
    return {
        "audio": base64.b64encode(samples).decode(),
        "error": error,
        "first_sec": first_sec,
        "last_sec": time.monotonic() - started,
    }


async def main(url: str, key: str, *texts: str) -> None:
    port = free_port()
    options = {
        "--uri": f"tcp://127.0.0.1:{port}",
        "--tts-openai-url": url,
        "--tts-openai-key": key,
        "--tts-models": "tts-1",
        "--tts-voices": "alloy",
        "--tts-backend": "OPENAI",
    }
    command = [sys.executable, "-m", "wyoming_openai", "--languages", "en"]
    bridge = await asyncio.create_subprocess_exec(
        *command,
        *(part for option in options.items() for part in option),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        spoken = [await speak(port, text) for text in texts]
    finally:
        bridge.terminate()
        await bridge.wait()
    print(json.dumps({"spoken": spoken}))


asyncio.run(main(*sys.argv[1:]))
