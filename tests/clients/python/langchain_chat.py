"""LangChain's chat with audio, two turns: `langchain_chat.py URL KEY FIRST SECOND`.

The reply to the first message goes back with the second one, as LangChain writes it.
"""

import json
import sys
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI


def main(url: str, key: str, first: str, second: str) -> None:
    audio: dict[str, Any] = {"modalities": ["text", "audio"]}
    audio["audio"] = {"voice": "alloy", "format": "wav"}
    model = ChatOpenAI(
        base_url=url, api_key=key, model="gpt-audio", max_retries=0, model_kwargs=audio
    )
    history: list[BaseMessage] = [HumanMessage(first)]
    replies = []
    for following in (second, None):
        reply = model.invoke(history)
        replies.append({**reply.additional_kwargs["audio"], "usage": reply.usage_metadata})
        history += [reply, *([] if following is None else [HumanMessage(following)])]
    sent = [model._convert_input(history).to_messages()[1].content]
    print(json.dumps({"replies": replies, "content_of_the_turn": sent[0]}))


main(*sys.argv[1:])
