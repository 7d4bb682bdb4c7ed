"""The line of torch that is dropped, and those that are not."""

import logging

import pytest

from orpheus_server.engine import triton_log
from orpheus_server.engine.fork_server import PRELOADED


def test_only_the_line_that_is_no_news_on_a_cpu_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was printed at every start."""
    logger = logging.getLogger(triton_log.LOGGER)
    with caplog.at_level(logging.WARNING, logger.name):
        logger.warning("Triton not available, find_triton_kernels = []")
        logger.warning("failed to resolve a kernel")
    assert caplog.messages == ["failed to resolve a kernel"]


def test_it_is_imported_before_what_causes_the_line() -> None:
    assert PRELOADED[0] == triton_log.__name__
