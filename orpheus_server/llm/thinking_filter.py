"""Leaves out what a model thinks before it answers, where its server sends both as one text."""

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkingFilter:
    """Lets through what comes behind `<think>...</think>` at the beginning of an answer.

    Qwen, DeepSeek and their like write it; servers that know of it send it apart from the answer.
    Where the first tag stands in the prompt already, nothing tells the thoughts from an answer.
    """

    def __init__(self) -> None:
        self._held = ""
        self._is_thinking = False
        self._has_thought = False
        self._is_answering = False

    def feed(self, text: str) -> str:
        """What certainly belongs to the answer."""
        if self._is_answering:
            return text
        text = self._held + text
        self._held = ""
        while True:
            if self._is_thinking:
                at = text.find(_CLOSE)
                if at < 0:
                    # As much as the tag can have begun with.
                    self._held = text[-len(_CLOSE) + 1 :]
                    return ""
                text = text[at + len(_CLOSE) :]
                self._is_thinking = False
            start = text.lstrip()
            if start.startswith(_OPEN):
                text = start[len(_OPEN) :]
                self._is_thinking = self._has_thought = True
            elif _OPEN.startswith(start):
                self._held = text
                return ""
            else:
                self._is_answering = True
                return start if self._has_thought else text

    def flush(self) -> str:
        """What was held back and turned out to be the answer."""
        held, self._held = self._held, ""
        if self._is_thinking:
            return ""
        return held.lstrip() if self._has_thought else held
