"""Writes prompts as text, for servers that do not accept token ids."""

import re
from collections.abc import Sequence
from itertools import groupby

from tokenizers import Tokenizer

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.errors import StartError

NUM_TOKENS_BEFORE_AUDIO = 10
"""`<custom_token_10>` is the first audio token of every Orpheus checkpoint."""

_CONTROL_TOKEN = re.compile(r"<custom_token_[0-9]+>|<\|[^<>|]*\|>")


def first_custom_id(checkpoint: Checkpoint) -> int:
    """Returns the id of `<custom_token_0>`."""
    return checkpoint.layout.audio_token_base - NUM_TOKENS_BEFORE_AUDIO


def without_control_tokens(text: str, names: Sequence[str] = ()) -> str:
    """Removes everything that a server would read as a control token, also what removing joins."""
    while True:
        cleaned = _CONTROL_TOKEN.sub("", text)
        for name in names:
            cleaned = cleaned.replace(name, "")
        if cleaned == text:
            return text
        text = cleaned


class PromptText:
    """Writes the ids of prompts as the text that the checkpoint's tokenizer reads as these ids.

    Raises `StartError` if there is no such text.
    """

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
        layout, template = checkpoint.layout, checkpoint.prompt
        self._tokenizer = tokenizer
        self._first_custom_id = first_custom_id(checkpoint)
        self._audio_ids = range(layout.audio_token_base, layout.audio_token_end)
        added = tokenizer.get_added_tokens_decoder()
        self._control_ids = {*added, *template.before, *template.after, *layout.stop_token_ids}
        # `<custom_token_N>` and `<|...|>` have a pattern.
        names = [self.name_of(token_id) for token_id in sorted(self._control_ids)]
        self._other_names = [name for name in names if not _CONTROL_TOKEN.fullmatch(name)]
        line = template.text.format(voice=checkpoint.default_voice.name, text="Hello there.")
        ids = tokenizer.encode(line, add_special_tokens=False).ids
        unknown = getattr(tokenizer.model, "unk_token", None)
        unknown_id = None if unknown is None else tokenizer.token_to_id(unknown)
        ordinary = [token_id for token_id in ids if token_id != unknown_id]
        self.sample = (*template.before, *ordinary, *template.after)
        """The ids of a short prompt."""
        for self._joiner in ("", " "):
            text = self.write(self.sample)
            if tuple(tokenizer.encode(text, add_special_tokens=False).ids) == self.sample:
                return
        raise StartError(
            f"the prompts of {checkpoint.name} cannot be written as text: use llama-server or "
            "vLLM, which accept token ids."
        )

    def name_of(self, token_id: int) -> str:
        """Returns the text of a control or audio token."""
        name = self._tokenizer.id_to_token(token_id)
        return name or f"<custom_token_{token_id - self._first_custom_id}>"

    def write(self, token_ids: Sequence[int]) -> str:
        """Returns the text of a prompt; control tokens are those of the template and audio only.

        What the caller wrote is in the other tokens: if their text reads like a control token, it
        is removed.
        """
        parts = []
        for is_control, run in groupby(token_ids, self._is_control):
            if is_control:
                parts += [self.name_of(token_id) for token_id in run]
            else:
                decoded = self._tokenizer.decode([*run], skip_special_tokens=False)
                parts.append(without_control_tokens(decoded, self._other_names))
        return self._joiner.join(parts)

    def _is_control(self, token_id: int) -> bool:
        return token_id in self._audio_ids or token_id in self._control_ids
