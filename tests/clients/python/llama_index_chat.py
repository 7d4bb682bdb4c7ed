"""LlamaIndex's OpenAI-like chat: `llama_index_chat.py URL KEY TEXT` prints whole and streamed."""

import json
import sys

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI


def main(url: str, key: str, text: str) -> None:
    # LlamaIndex looks up the context length by the name, so it must be one of OpenAI's.
    model = OpenAI(api_base=url, api_key=key, model="gpt-4o-audio-preview", max_retries=0)
    messages = [ChatMessage(role="user", content=text)]
    whole = model.chat(messages).message.content
    streamed = "".join(part.delta or "" for part in model.stream_chat(messages))
    print(json.dumps({"whole": whole, "streamed": streamed}))


main(*sys.argv[1:])
