"""The calls of Home Assistant's OpenAI integration: `home_assistant.py URL KEY TEXT...`.

It sends its prompt as instructions, or "None", and reads an MP3 to the end.
"""

import asyncio
import base64
import json
import sys
from typing import Any

from openai import AsyncOpenAI


async def speak(client: AsyncOpenAI, text: str) -> dict[str, Any]:
    """The file that Home Assistant would play, or the error that it would raise."""
    audio = bytearray()
    try:
        async with client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts",
            voice="marin",
            input=text,
            instructions=str(None),
            speed=1.0,
            response_format="mp3",
        ) as response:
            async for block in response.iter_bytes():
                audio.extend(block)
    except Exception as error:  # of the SDK, or of the HTTP client below it
        return {"audio": "", "error": type(error).__name__}
    return {"audio": base64.b64encode(audio).decode(), "error": None}


async def main(url: str, key: str, *texts: str) -> None:
    async with AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        spoken = [await speak(client, text) for text in texts]
    print(json.dumps({"spoken": spoken}))


asyncio.run(main(*sys.argv[1:]))
