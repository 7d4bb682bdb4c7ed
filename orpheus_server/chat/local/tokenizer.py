"""Conversations to prompt ids with the model's chat template, and ids back to characters."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from jinja2 import TemplateError
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from orpheus_server.chat.conversation import fold_system, trim
from orpheus_server.chat.local.config import NO_TEMPLATE
from orpheus_server.chat.local.control_tokens import ControlTokenFilter
from orpheus_server.errors import RequestError, StartError
from orpheus_server.interfaces import ChatMessage, Role

_WORD = "word"
_QUESTION = ChatMessage("user", _WORD)
_ANSWER = ChatMessage("assistant", _WORD)
_INSTRUCTION = ChatMessage("system", "order")

TURN_ENDS = ("<end_of_turn>", "<|im_end|>", "<|eot_id|>", "<|end|>")
"""Ends of the assistant's turn in common formats, for models whose `eos_token_id` omits them."""

MAX_CHAR_TOKENS = 8
"""No character has more tokens; after that many without one, the output is garbage."""

_MAX_DISGUISES = 4


class ChatTokenizer:
    """Builds prompts for one model. Callable from any thread; too slow for the event loop.

    `stop_token_ids` come from the configuration; the tokenizer's own are added to them.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        source: str,
        stop_token_ids: frozenset[int] = frozenset(),
    ) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise StartError(f"{source} has no tokenizer that this server can use.")
        if not tokenizer.chat_template:
            raise StartError(NO_TEMPLATE.format(source))
        self.backend = backend
        self._tokenizer = tokenizer
        self._has_system = True
        try:
            written = self._render((_QUESTION, _ANSWER, _QUESTION))
        except TemplateError as error:
            raise StartError(f"the chat template of {source} fails: {error}") from error
        self.stop_token_ids = stop_token_ids | _own_stops(tokenizer, backend)
        added = backend.get_added_tokens_decoder()
        control = {
            token_id: token.content
            for token_id, token in added.items()
            if token.special or token_id in self.stop_token_ids or token.content in written
        }
        self._control_tokens = ControlTokenFilter(control.values())
        self.control_ids = frozenset(
            token_id for token_id, text in control.items() if text in self._control_tokens.tokens
        )
        self._has_system = self._knows_system()
        self._longest_token = max(map(len, backend.get_vocab()))
        # Tokens that the template adds: per question and answer, and once per conversation.
        num_word = len(self.encode(_WORD))
        num_one = len(self.encode(self._render((_QUESTION,)))) - num_word
        num_pair = len(self.encode(written)) - 2 * num_word - num_word - num_one
        user = num_pair // 2
        self._role_tokens: dict[Role, int] = {
            "system": user if self._has_system else len(self.encode("\n\n")),
            "user": user,
            "assistant": num_pair - user,
        }
        self._base_tokens = max(0, num_one - user)

    def encode(self, text: str) -> list[int]:
        """Encodes a text without a BOS token, because templates write their own."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def prompt_ids(
        self, messages: Sequence[ChatMessage], *, available_tokens: int
    ) -> tuple[int, ...]:
        """Returns the prompt with the system message and the newest messages that fit.

        Raises `RequestError` if not even the last message fits, or if the template rejects the
        conversation.
        """
        cleaned: dict[int, tuple[ChatMessage, int]] = {}

        def clean(message: ChatMessage) -> tuple[ChatMessage, int]:
            known = cleaned.get(id(message))
            if known is None:
                known = cleaned[id(message)] = self._clean(message)
            return known

        def num_tokens(message: ChatMessage) -> int:
            if len(message.content) > available_tokens * self._longest_token:
                # Too long to fit, whatever its tokens are.
                return available_tokens + 1
            return clean(message)[1] + self._role_tokens[message.role]

        tokens_left = available_tokens - self._base_tokens
        while True:
            kept = trim(messages, num_tokens=num_tokens, available_tokens=tokens_left)
            ids = self._encode_messages([clean(message)[0] for message in kept])
            if len(ids) <= available_tokens:
                return tuple(ids)
            # The tokens that the template adds were only estimated until here.
            tokens_left -= len(ids) - available_tokens

    def _encode_messages(self, messages: Sequence[ChatMessage]) -> list[int]:
        try:
            return self.encode(self._render(messages))
        except TemplateError as error:
            raise RequestError(
                f"The language model cannot take this conversation: {error}",
                param="messages",
                code="invalid_value",
            ) from error

    def _clean(self, message: ChatMessage) -> tuple[ChatMessage, int]:
        """Returns the message without control tokens, and its length in tokens."""
        content = message.content
        for _ in range(_MAX_DISGUISES):
            content = self._control_tokens.remove(content)
            ids = self.encode(content)
            if self.control_ids.isdisjoint(ids):
                return replace(message, content=content), len(ids)
            # The tokenizer normalises characters, which can form a control token again.
            plain = [token_id for token_id in ids if token_id not in self.control_ids]
            content = self.backend.decode(plain, skip_special_tokens=True)
        raise RequestError(
            "A message must not contain control tokens of the language model.",
            param="messages",
            code="invalid_value",
        )

    def _knows_system(self) -> bool:
        try:
            return _INSTRUCTION.content in self._render((_INSTRUCTION, _QUESTION))
        except TemplateError:
            return False

    def _render(self, messages: Sequence[ChatMessage]) -> str:
        if not self._has_system:
            messages = fold_system(messages)
        conversation = [{"role": each.role, "content": each.content} for each in messages]
        return str(
            self._tokenizer.apply_chat_template(
                conversation,
                tokenize=False,
                add_generation_prompt=True,
                # What models that can think aloud would say then is not for a voice.
                enable_thinking=False,
            )
        )

    def open_text(self) -> "AnswerText":
        """Opens a decoder for the ids of one answer."""
        return AnswerText(self)


class AnswerText:
    """Decodes the ids of an answer into complete characters, without control tokens."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._backend = tokenizer.backend
        self._control_ids = tokenizer.control_ids | tokenizer.stop_token_ids
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._num_chars = 0
        self._num_held = 0

    def feed(self, token_ids: Iterable[int]) -> str:
        """Returns the characters that these ids complete."""
        return "".join(map(self._feed, token_ids))

    def flush(self) -> str:
        """Returns the text held back, without an incomplete character."""
        return self._take(self._rest().rstrip("\ufffd")) if self._num_held else ""

    def _feed(self, token_id: int) -> str:
        if token_id in self._control_ids:
            return ""
        self._ids.append(token_id)
        self._num_held += 1
        text = self._step(token_id)
        if text is None and self._num_held > MAX_CHAR_TOKENS:
            self._stream = DecodeStream(skip_special_tokens=True)
            text = self._rest()
        return "" if text is None else self._take(text)

    def _step(self, token_id: int) -> str | None:
        try:
            return self._stream.step(self._backend, token_id)
        except Exception:  # the library raises bare Exception if a token changes the text before it
            self._stream = DecodeStream(skip_special_tokens=True)
            return self._stream.step(self._backend, token_id)

    def _rest(self) -> str:
        return self._backend.decode(self._ids)[self._num_chars :]

    def _take(self, text: str) -> str:
        self._num_chars += len(text)
        self._num_held = 0
        return text


def _own_stops(tokenizer: PreTrainedTokenizerBase, backend: Tokenizer) -> frozenset[int]:
    """Returns ids that end an answer regardless of the configuration."""
    own = tokenizer.eos_token_id
    named = (backend.token_to_id(token) for token in TURN_ENDS)
    ids = [token_id for token_id in named if token_id is not None]
    return frozenset([*ids, own] if isinstance(own, int) else ids)


def load_chat_tokenizer(
    folder: Path, *, source: str, stop_token_ids: frozenset[int] = frozenset()
) -> ChatTokenizer:
    """Loads the tokenizer of a folder. Blocks for seconds. Raises `StartError`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # any problem with the files becomes one line
        raise StartError(f"the tokenizer of {source} cannot be loaded: {error}") from error
    return ChatTokenizer(tokenizer, source=source, stop_token_ids=stop_token_ids)
