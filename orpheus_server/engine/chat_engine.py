"""Builds the engine of a language model: a delta per token, and a cache of common prefixes."""

from collections.abc import Iterable

from vllm.config import VllmConfig

from orpheus_server.engine.vllm_engine import EngineKind, VllmEngine
from orpheus_server.engine.vllm_loader import VllmOptions, engine_args, start_engine


def build_chat_engine(
    stop_token_ids: Iterable[int], options: VllmOptions, *, own_max_len: int, min_model_len: int
) -> VllmEngine:
    """Loads the model; blocking. Raises `StartError`.

    The context is at most `own_max_len` tokens, and at least `min_model_len`.
    """
    args = engine_args(options)
    args.max_model_len = min(options.max_model_len, own_max_len)
    args.enable_prefix_caching = True
    # Of multimodal models only the language model is loaded.
    args.language_model_only = True
    kind = EngineKind(
        label="language model",
        stop_token_ids=tuple(sorted(stop_token_ids)),
        stream_interval=1,
        min_model_len=min_model_len,
        share_setting="LLM_GPU_MEMORY_UTILIZATION",
    )
    return start_engine(args, options, kind, own_max_len=own_max_len, adapt=_fit_to_cache)


def _fit_to_cache(config: VllmConfig) -> None:
    # As if no length were set: vLLM then lowers one that the cache cannot hold, and does not fail.
    config.model_config.original_max_model_len = -1
