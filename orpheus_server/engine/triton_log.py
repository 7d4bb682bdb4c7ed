"""Importing this drops one log line of torch, in the process that imports vLLM for CPUs."""

import logging

LOGGER = "torch._library.triton"
MESSAGE = "Triton not available, find_triton_kernels = []"


def _is_news(record: logging.LogRecord) -> bool:
    # Triton compiles for GPUs; on a CPU it is missing on every machine.
    return record.msg != MESSAGE


logging.getLogger(LOGGER).addFilter(_is_news)
