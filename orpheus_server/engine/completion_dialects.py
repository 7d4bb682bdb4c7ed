"""What servers of completions accept and send: llama-server, vLLM, and OpenAI's API with text.

Pure: bodies from requests, and ids from events.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from orpheus_server.engine.custom_tokens import CustomTokenParser
from orpheus_server.interfaces import FinishReason, TokenRequest

DialectName = Literal["llama-server", "vLLM", "text"]

DONE = "[DONE]"

SMALLEST_TOP_P = 1e-6
"""Servers reject 0 or ignore it; this keeps only the likeliest token, which is what 0 means."""

MAX_STOPS = 4
"""OpenAI's API accepts no more."""

MAX_OTHER_CHARS = 400
"""With more text than this before the first audio token, the model is not speaking."""

_KIND = re.compile(r"[a-z0-9_]{1,40}")

_LLAMA_SEEDS = 2**32 - 1
_TEXT_SEEDS = 2**31 - 1

# In vLLM's order. llama.cpp's own order has the temperature last, and applies more samplers.
_SAMPLERS = ["penalties", "temperature", "min_p", "top_k", "top_p"]


class ServerFailed(Exception):
    """A server failed on a request; another one may continue it. Stays inside the engine.

    With `is_down` the server must not be used until it passes a check.
    """

    def __init__(self, message: str, *, is_down: bool = False) -> None:
        super().__init__(message)
        self.is_down = is_down


@dataclass(frozen=True, slots=True)
class StopTokens:
    """The ids that end a generation, and their text."""

    ids: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to talk to one server, as the probe found it.

    `model` is its name there. Without `has_extras` it rejects fields that OpenAI's API lacks.
    """

    name: DialectName
    model: str = ""
    has_extras: bool = True

    @property
    def path(self) -> str:
        """Where completions are requested."""
        return "/completion" if self.name == "llama-server" else "/v1/completions"

    def body(
        self,
        request: TokenRequest,
        stop: StopTokens,
        write: Callable[[Sequence[int]], str],
        *,
        is_streamed: bool = True,
    ) -> dict[str, Any]:
        """Returns the body of a request; `write` writes a prompt as text."""
        sampling = request.sampling
        common: dict[str, Any] = {
            "stream": is_streamed,
            "temperature": sampling.temperature,
            "top_p": max(sampling.top_p, SMALLEST_TOP_P),
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
        }
        match self.name:
            case "llama-server":
                return common | _llama_fields(request, stop)
            case "vLLM":
                return common | _vllm_fields(request, stop, self.model, is_streamed=is_streamed)
            case "text":
                fields = common | {
                    "model": self.model,
                    "prompt": write(request.prompt_token_ids),
                    "max_tokens": request.max_tokens,
                    "stop": list(stop.names[:MAX_STOPS]),
                }
                if is_streamed:
                    fields["stream_options"] = {"include_usage": True}
                if request.seed is not None:
                    fields["seed"] = request.seed % _TEXT_SEEDS
                return fields | (_text_extras(request) if self.has_extras else {})


def _llama_fields(request: TokenRequest, stop: StopTokens) -> dict[str, Any]:
    sampling = request.sampling
    return {
        "prompt": list(request.prompt_token_ids),
        "return_tokens": True,
        "n_predict": request.max_tokens,
        # Prompts are short and all different; with it, results depend on earlier requests.
        "cache_prompt": False,
        "samplers": _SAMPLERS,
        "mirostat": 0,
        "dynatemp_range": 0.0,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        # The whole context, and so prompt and output as in vLLM. Newer builds reject -1.
        "repeat_last_n": len(request.prompt_token_ids) + request.max_tokens,
        "ignore_eos": False,
        # Some models end on none of the stop ids. Their ids are in the stream all the same.
        "stop": list(stop.names),
        # -1 is random, whatever the server was started with.
        "seed": -1 if request.seed is None else request.seed % _LLAMA_SEEDS,
    }


def _vllm_fields(
    request: TokenRequest, stop: StopTokens, model: str, *, is_streamed: bool
) -> dict[str, Any]:
    sampling = request.sampling
    fields: dict[str, Any] = {
        "model": model,
        "prompt": list(request.prompt_token_ids),
        "return_token_ids": True,
        "max_tokens": request.max_tokens,
        # Versions before 0.9 reject 0.
        "top_k": sampling.top_k or -1,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": request.seed,
        "stop_token_ids": list(stop.ids),
        "skip_special_tokens": False,
        "ignore_eos": False,
    }
    if is_streamed:
        fields["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    return fields


def _text_extras(request: TokenRequest) -> dict[str, Any]:
    sampling = request.sampling
    return {
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        # llama.cpp and LM Studio; then vLLM and others.
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": len(request.prompt_token_ids) + request.max_tokens,
        "repetition_penalty": sampling.repetition_penalty,
        "samplers": _SAMPLERS,
        "cache_prompt": False,
        "skip_special_tokens": False,
    }


@dataclass(slots=True)
class EventReader:
    """Reads the ids of one streamed completion from its events.

    Ids after a stop id are dropped. Every stream ends with its stop id, as vLLM's engine does it,
    even if the server does not send it. Raises `ServerFailed` for what is not a completion, for ids
    beyond the vocabulary, and if the server's own count shows that events are missing, repeated or
    out of order.
    """

    dialect: DialectName
    stop: StopTokens
    vocab_size: int
    parser: CustomTokenParser
    finish_reason: FinishReason | None = None
    is_complete: bool = False
    """True after the last event; `finish_reason` may be known before it."""
    _num_tokens: int = 0
    _num_counted: int | None = field(default=None)

    def read(self, event: str) -> list[int]:
        """Returns the ids that an event adds."""
        if event == DONE:
            return self._end()
        try:
            data = json.loads(event)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise ServerFailed("it sent an event that is not a JSON object")
        if data.get("error"):
            raise ServerFailed(f"it reported an error ({_kind_of(data['error'])})")
        if self.dialect == "llama-server":
            return self._read_llama(data)
        return self._read_choice(data)

    def _read_llama(self, data: dict[str, Any]) -> list[int]:
        ids = self._check(data.get("tokens"))
        if data.get("stop") is True:
            self.is_complete = True
            self._count(data.get("tokens_predicted"))
            return self._finish("length" if data.get("stop_type") == "limit" else "stop")
        kept = self._keep(ids)
        self._count(data.get("tokens_predicted"))
        return kept

    def _read_choice(self, data: dict[str, Any]) -> list[int]:
        usage, choices = data.get("usage"), data.get("choices")
        reported = usage.get("completion_tokens") if isinstance(usage, dict) else None
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            if self.dialect == "text" and isinstance(reported, int):
                self._num_counted = reported
            return []
        choice = choices[0]
        if self.dialect == "vLLM":
            kept = self._keep(self._check(choice.get("token_ids") or []))
            self._count(reported)
        else:
            text = choice.get("text")
            kept = self._keep(self._check(self.parser.feed(text if isinstance(text, str) else "")))
            if isinstance(reported, int):
                self._num_counted = reported
            if not self._num_tokens and self.parser.num_other_chars > MAX_OTHER_CHARS:
                raise ServerFailed("it writes text instead of audio tokens")
        reason = choice.get("finish_reason")
        if reason is None:
            return kept
        if reason not in ("stop", "length"):
            raise ServerFailed(f"it ended the completion with {reason!r}")
        return kept + self._finish(reason)

    def _end(self) -> list[int]:
        self.is_complete = True
        if self.dialect == "text":
            self._check_text()
        return []

    def _check_text(self) -> None:
        """Compares the number of ids with the server's count, which may include the stop id."""
        self.parser.flush()
        if self._num_counted is None:
            return
        num_missing = self._num_counted - self._num_tokens
        if num_missing < -1 or (num_missing > 1 and not self.parser.num_other_chars):
            raise ServerFailed(
                f"it sent {self._num_tokens} tokens but counts {self._num_counted}: "
                "pieces were repeated or lost"
            )

    def _check(self, ids: object) -> list[int]:
        if not isinstance(ids, list) or not all(isinstance(each, int) for each in ids):
            raise ServerFailed("it sent an event without token ids")
        bad = next((each for each in ids if not 0 <= each < self.vocab_size), None)
        if bad is not None:
            raise ServerFailed(f"it sent the id {bad}, but the vocabulary has {self.vocab_size}")
        return ids

    def _keep(self, ids: list[int]) -> list[int]:
        self._num_tokens += len(ids)
        if self.finish_reason is not None:
            return []
        for number, token_id in enumerate(ids):
            if token_id in self.stop.ids:
                self.finish_reason = "stop"
                return ids[: number + 1]
        return ids

    def _finish(self, reason: FinishReason) -> list[int]:
        if self.finish_reason is not None:
            return []
        self.finish_reason = reason
        return [self.stop.ids[0]] if reason == "stop" else []

    def _count(self, num_reported: object) -> None:
        if isinstance(num_reported, int) and num_reported != self._num_tokens:
            raise ServerFailed(
                f"it sent {self._num_tokens} tokens but counts {num_reported}: "
                "pieces were lost, repeated or reordered"
            )


def _kind_of(error: object) -> str:
    """Returns the type or code of an error. Its message may quote the prompt."""
    fields = error if isinstance(error, dict) else {}
    kinds = (str(fields.get(name)) for name in ("type", "code") if fields.get(name))
    return next((kind for kind in kinds if _KIND.fullmatch(kind)), "unknown")
