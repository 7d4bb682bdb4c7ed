"""Builds the speech engine: every token is masked to its slot, and a delta is a frame."""

from vllm.config import VllmConfig

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.engine.context_length import MIN_MODEL_LEN, own_max_len
from orpheus_server.engine.slot_mask import layout_to_config
from orpheus_server.engine.vllm_engine import EngineKind, VllmEngine
from orpheus_server.engine.vllm_loader import VllmOptions, engine_args, start_engine


def build_speech_engine(checkpoint: Checkpoint, options: VllmOptions) -> VllmEngine:
    """Loads the model; blocking. Raises `StartError`."""
    own_len = own_max_len(options.folder)
    max_len = min(options.max_model_len, own_len)
    args = engine_args(options)
    # -1 fits the context to the cache; our limit is passed as the model's own one.
    args.max_model_len = -1
    args.hf_overrides = {"max_position_embeddings": max_len}
    # Prompts are short and all different, so a prefix cache would never hit.
    args.enable_prefix_caching = False
    args.additional_config = layout_to_config(checkpoint.layout)
    kind = EngineKind(
        label="speech engine",
        stop_token_ids=checkpoint.layout.stop_token_ids,
        stream_interval=checkpoint.layout.num_slots,
        min_model_len=MIN_MODEL_LEN,
        share_setting="TTS_GPU_MEMORY_UTILIZATION",
    )
    return start_engine(args, options, kind, own_max_len=own_len, adapt=_mask_slots)


def _mask_slots(config: VllmConfig) -> None:
    version = "v2:SlotMaskV2" if config.use_v2_model_runner else "v1:SlotMaskV1"
    config.model_config.logits_processors = [f"orpheus_server.engine.slot_mask_{version}"]
