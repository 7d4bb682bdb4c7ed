"""The limits of what counts as a leak, exactly."""

from orpheus_server.bench.client.server_metrics import ServerMetrics
from orpheus_server.bench.soak.leaks import (
    Verdict,
    has_grown,
    judge_leaks,
    memory_mb_per_min,
    unjudged,
)
from tests.bench.builders import metrics

STEADY = [(float(minute), 1_000_000_000) for minute in range(1, 11)]
SLOPE_OF_ONE = [(float(minute), 1_000_000_000 + minute * 1_000_000) for minute in range(1, 11)]
STEEP = [(float(minute), 1_000_000_000 + minute * 1_500_000) for minute in range(1, 11)]


def judge(
    end: ServerMetrics,
    *,
    memory: list[tuple[float, int]] = STEADY,
    duration_min: float = 10.0,
) -> Verdict:
    return judge_leaks(metrics(), end, memory, duration_min=duration_min)


def test_no_leaks() -> None:
    assert judge(metrics()) == Verdict((), (), 0.0, 0.0, 0)


def test_anything_that_is_still_active_is_a_leak() -> None:
    assert judge(metrics(queued=1, generating=2, sessions=3, generations=4)).leaks == (
        "1 requests are still queued",
        "2 requests are still generating",
        "3 sessions are still active",
        "4 generations are still active",
    )


def test_two_more_are_tolerated() -> None:
    assert judge(metrics(files=32, threads=12, tasks=7)).leaks == ()
    assert judge(metrics(files=33, threads=13, tasks=8)).leaks == (
        "33 open files, 3 more than at the start",
        "13 threads, 3 more than at the start",
        "8 tasks, 3 more than at the start",
    )
    assert not has_grown(metrics(), metrics(files=32, threads=12, tasks=7))
    assert has_grown(metrics(), metrics(tasks=8))


class TestMemory:
    def test_steep_and_large(self) -> None:
        grown = metrics(resident_bytes=1_060_000_000)
        assert judge(grown, memory=STEEP).leaks == ("memory +6.0%, +1.50 MB a minute",)

    def test_either_alone_is_not_a_leak(self) -> None:
        grown = metrics(resident_bytes=1_060_000_000)
        assert judge(grown, memory=SLOPE_OF_ONE).leaks == ()
        assert judge(metrics(resident_bytes=1_050_000_000), memory=STEEP).leaks == ()

    def test_a_short_run_is_judged_by_its_growth_only(self) -> None:
        note = (
            "the slope of the memory was not checked, only its growth: 4.5 minutes are less than 5",
        )
        verdict = judge(metrics(resident_bytes=1_060_000_000), duration_min=4.5)
        assert verdict.leaks == ("memory +6.0%, +0.00 MB a minute",)
        assert verdict.notes == note
        assert judge(metrics(), memory=STEEP, duration_min=4.5) == Verdict((), note, 1.5, 0.0, 0)

    def test_slope(self) -> None:
        assert memory_mb_per_min([]) is None
        assert memory_mb_per_min([(1.0, 5)]) is None
        assert memory_mb_per_min([(1.0, 5), (1.0, 6)]) is None
        assert memory_mb_per_min([(0.0, 1_000_000), (2.0, 5_000_000)]) == 2.0


def test_restarts_are_a_note() -> None:
    verdict = judge(metrics(restarts=2))
    assert (verdict.leaks, verdict.notes) == ((), ("the engine was restarted 2 times",))
    assert verdict.num_engine_restarts == 2


def test_an_unreachable_server_is_not_clean() -> None:
    assert unjudged("no answer").leaks == ("no answer",)
