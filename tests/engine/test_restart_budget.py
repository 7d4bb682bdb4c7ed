"""The limit on restarts within ten minutes, and the pauses before them."""

from orpheus_server.engine.restart_budget import RestartBudget


def test_pauses_grow_until_the_budget_is_used_up() -> None:
    budget = RestartBudget(7, first_pause_sec=1.0)
    pauses = [budget.take(float(number)) for number in range(9)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, None, None]


def test_restarts_ten_minutes_ago_no_longer_count() -> None:
    budget = RestartBudget(2, first_pause_sec=1.0)
    assert [budget.take(now) for now in (0.0, 500.0, 599.9)] == [1.0, 2.0, None]
    assert [budget.take(now) for now in (600.0, 1099.0, 1100.0)] == [2.0, None, 2.0]
    assert budget.take(5000.0) == 1.0


def test_a_budget_of_zero_allows_no_restart() -> None:
    assert RestartBudget(0, first_pause_sec=1.0).take(0.0) is None
