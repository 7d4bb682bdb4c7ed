"""LiveKit's OpenAI TTS: `livekit_tts.py URL KEY TEXT...` prints what each text became."""

import asyncio
import base64
import json
import logging
import sys
from typing import Any

from livekit.agents import APIConnectOptions, APIError
from livekit.plugins import openai


async def speak(tts: openai.TTS, text: str) -> dict[str, Any]:
    """The samples that an agent would play, and the error that ended them."""
    samples, error = b"", None
    stream = tts.synthesize(text, conn_options=APIConnectOptions(max_retry=0))
    try:
        async for audio in stream:
            samples += bytes(audio.frame.data)
    except APIError as raised:
        error = type(raised).__name__
    finally:
        await stream.aclose()
    return {"audio": base64.b64encode(samples).decode(), "error": error}


async def main(url: str, key: str, *texts: str) -> None:
    tts = openai.TTS(base_url=url, api_key=key, voice="ash")
    spoken = [await speak(tts, text) for text in texts]
    await tts.aclose()
    print(json.dumps({"spoken": spoken}))


logging.disable(logging.CRITICAL)
asyncio.run(main(*sys.argv[1:]))
