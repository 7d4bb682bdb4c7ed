"""How many threads an engine computes with."""

import pytest

from orpheus_server.engine.cpu_threads import num_engine_threads


@pytest.mark.parametrize(
    ("num_cores", "num_threads"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (16, 8)]
)
def test_half_of_the_cores(num_cores: int, num_threads: int) -> None:
    """With all cores, OpenMP's waiting threads took the time of codec and event loop."""
    assert num_engine_threads(num_cores) == num_threads
