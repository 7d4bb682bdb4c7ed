"""Configuration of a language model's folder: context, stop ids, sampling, chat template."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orpheus_server.errors import StartError
from orpheus_server.interfaces import SamplingOptions

DEFAULT_SAMPLING = SamplingOptions(temperature=0.7, top_p=0.95, repetition_penalty=1.0)

MIN_MODEL_LEN = 512
"""With a shorter context, a system prompt and an answer do not fit together."""

NO_TEMPLATE = (
    "{} is not a chat model: it has no chat template in tokenizer_config.json or "
    "chat_template.jinja. Use its instruction-tuned version."
)


@dataclass(frozen=True, slots=True)
class ChatConfig:
    """Configuration of a model; `max_model_len` is None if the model has no limit."""

    max_model_len: int | None
    stop_token_ids: frozenset[int]
    sampling: SamplingOptions


def read_chat_config(folder: Path) -> ChatConfig:
    """Reads `config.json` and, if it exists, `generation_config.json`. Raises `StartError`."""
    config = _read(folder / "config.json")
    # Multimodal models keep the configuration of their text model in a section.
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else {}
    generation_path = folder / "generation_config.json"
    generation = _read(generation_path) if generation_path.is_file() else {}
    max_len = config.get("max_position_embeddings", text.get("max_position_embeddings"))
    try:
        stops = next(
            (
                _ids(part["eos_token_id"])
                for part in (generation, config, text)
                if part.get("eos_token_id") is not None
            ),
            frozenset[int](),
        )
        return ChatConfig(
            max_model_len=None if max_len is None else int(max_len),
            stop_token_ids=stops,
            sampling=_sampling(generation),
        )
    except (ValueError, TypeError) as error:
        raise StartError(f"{folder} is not configured as a language model: {error}") from error


def check_chat_files(folder: Path, *, source: str) -> None:
    """Raises `StartError` for a model that cannot chat, without loading it."""
    max_len = read_chat_config(folder).max_model_len
    if max_len is not None and max_len < MIN_MODEL_LEN:
        raise StartError(
            f"{source} has a context of {max_len} tokens, but at least {MIN_MODEL_LEN} are needed: "
            "set another LLM_MODEL_NAME."
        )
    path = folder / "tokenizer_config.json"
    in_config = path.is_file() and _read(path).get("chat_template")
    if not in_config and not any(folder.glob("*chat_template*")):
        raise StartError(NO_TEMPLATE.format(source))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise StartError(f"{path} is not a configuration: it does not contain a JSON object.")
    return content


def _ids(value: Any) -> frozenset[int]:
    """Accepts one id or a list of ids."""
    return frozenset(map(int, value)) if isinstance(value, list) else frozenset({int(value)})


def _sampling(generation: Mapping[str, Any]) -> SamplingOptions:
    def number(name: str, default: float) -> float:
        value = generation.get(name)
        return default if value is None else float(value)

    return SamplingOptions(
        temperature=number("temperature", DEFAULT_SAMPLING.temperature),
        top_p=number("top_p", DEFAULT_SAMPLING.top_p),
        repetition_penalty=number("repetition_penalty", DEFAULT_SAMPLING.repetition_penalty),
        top_k=max(0, int(number("top_k", DEFAULT_SAMPLING.top_k))),
        min_p=number("min_p", DEFAULT_SAMPLING.min_p),
    )
