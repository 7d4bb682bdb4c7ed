"""Pipecat's OpenAI TTS in a pipeline: `pipecat_tts.py URL KEY TEXT...` prints its frames."""

import asyncio
import base64
import json
import sys
from typing import Any

from loguru import logger
from pipecat.frames.frames import ErrorFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.tests.utils import run_test


async def speak(url: str, key: str, text: str) -> dict[str, Any]:
    """The samples that flow down the pipeline, and the error that flows up."""
    tts = OpenAITTSService(base_url=url, api_key=key, sample_rate=24_000)
    down, up = await run_test(tts, frames_to_send=[TTSSpeakFrame(text)], start_timeout=60.0)
    samples = b"".join(frame.audio for frame in down if isinstance(frame, TTSAudioRawFrame))
    errors = [frame.error for frame in (*down, *up) if isinstance(frame, ErrorFrame)]
    return {"audio": base64.b64encode(samples).decode(), "error": errors[0] if errors else None}


async def main(url: str, key: str, *texts: str) -> None:
    spoken = [await speak(url, key, text) for text in texts]
    print(json.dumps({"spoken": spoken}))


logger.remove()
asyncio.run(main(*sys.argv[1:]))
