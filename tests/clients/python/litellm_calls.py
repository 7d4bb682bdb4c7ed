"""LiteLLM: `litellm_calls.py URL KEY TEXT...` prints what each text became, and a reply."""

import base64
import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm  # noqa: E402 - reads the variable while it is imported


def speak(url: str, key: str, text: str) -> dict[str, Any]:
    """The MP3 of the text, or the error."""
    try:
        answer = litellm.speech(
            model="openai/tts-1",
            voice="alloy",
            input=text,
            api_base=url,
            api_key=key,
            max_retries=0,
        )
    except Exception as error:
        return {"audio": "", "error": type(error).__name__}
    return {"audio": base64.b64encode(answer.read()).decode(), "error": None}


def main(url: str, key: str, *texts: str) -> None:
    spoken = [speak(url, key, text) for text in texts]
    reply = litellm.completion(
        model="openai/echo",
        messages=[{"role": "user", "content": texts[0]}],
        api_base=url,
        api_key=key,
        max_retries=0,
    )
    print(json.dumps({"spoken": spoken, "reply": reply.choices[0].message.content}))


main(*sys.argv[1:])
