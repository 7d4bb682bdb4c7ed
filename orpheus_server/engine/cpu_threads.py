"""How many threads an engine computes with on a CPU."""


def num_engine_threads(num_cores: int) -> int:
    """Returns the number of OpenMP threads of an engine: 1, 1, 2, 4, 8 on 1, 2, 4, 8, 16 cores.

    Half of the cores, because codec, encoders and event loop need the rest, and OpenMP threads that
    wait for each other spin. Measured with the bundled voice on one and two cores. With more cores,
    the step of a small voice is mostly Python, which threads do not speed up, and that of a 3B
    voice waits for memory, which half of the cores can saturate.
    """
    return max(1, num_cores // 2)
