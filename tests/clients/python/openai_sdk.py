"""OpenAI's SDK for Python: `openai_sdk.py URL KEY TEXT...` prints what its calls give."""

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from openai import OpenAI, OpenAIError, __version__


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def error_of(call: Callable[[], object]) -> list[Any]:
    """Class, status and code of the error that a call raises."""
    try:
        call()
    except OpenAIError as error:
        return [type(error).__name__, getattr(error, "status_code", 0), getattr(error, "code", "")]
    return ["none", 200, None]


def speak(client: OpenAI, text: str) -> dict[str, Any]:
    """The WAV of the text, or the error."""
    try:
        answer = client.audio.speech.create(
            model="tts-1", voice="alloy", input=text, response_format="wav"
        )
    except OpenAIError as error:
        return {"audio": "", "error": type(error).__name__}
    return {"audio": b64(answer.content), "error": None}


def read_wav_as_a_stream(client: OpenAI, text: str) -> dict[str, Any]:
    """The WAV of the text, and the seconds to its first and last bytes."""
    started, first_sec, audio = time.monotonic(), None, b""
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=text, response_format="wav"
    ) as answer:
        for block in answer.iter_bytes():
            first_sec = first_sec or time.monotonic() - started
            audio += block
    last_sec = time.monotonic() - started
    return {"audio": b64(audio), "first_sec": first_sec, "last_sec": last_sec}


def final_of_stream(client: OpenAI, text: str) -> dict[str, Any]:
    """The audio of the message that `stream()` puts together, and its transcript."""
    with client.chat.completions.stream(
        model="gpt-audio",
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "pcm16"},
        messages=[{"role": "user", "content": text}],
    ) as stream:
        final = stream.get_final_completion().choices[0].message
    assert final.audio is not None
    return {"audio": final.audio.data, "transcript": final.audio.transcript}


def main(url: str, key: str, *texts: str) -> None:
    client = OpenAI(base_url=url, api_key=key, max_retries=0)
    stranger = OpenAI(base_url=url, api_key="sk-wrong", max_retries=0)
    raw = client.audio.speech.with_raw_response.create(
        model="tts-1", voice="alloy", input=texts[0], response_format="wav"
    )
    speech, completions = client.audio.speech, client.chat.completions
    errors = {
        "voice": error_of(lambda: speech.create(model="tts-1", voice="nobody", input="Hi.")),
        "model": error_of(
            lambda: completions.create(
                model="unknown", messages=[{"role": "user", "content": "Hi."}]
            )
        ),
        "blank": error_of(lambda: speech.create(model="tts-1", voice="alloy", input=" ")),
        "key": error_of(stranger.models.list),
    }
    result = {
        "version": __version__,
        "models": [model.id for model in client.models.list()],
        "retrieved": client.models.retrieve("gpt-4o-mini-tts").id,
        "spoken": [speak(client, text) for text in texts],
        "raw": b64(raw.content),
        "as_a_stream": read_wav_as_a_stream(client, texts[0]),
        "final": final_of_stream(client, texts[0]),
        "errors": errors,
    }
    print(json.dumps(result))


main(*sys.argv[1:])
