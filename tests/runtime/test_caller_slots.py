"""A limit on open slots for each caller."""

import pytest

from orpheus_server.errors import RateLimited
from orpheus_server.runtime.caller_slots import CallerSlots


def test_each_caller_has_its_own_slots() -> None:
    slots = CallerSlots(2, label="things")
    with slots.taken("anna"), slots.taken("anna"):
        with pytest.raises(RateLimited, match="You have 2 things open, as many as one caller may"):
            slots.check("anna")
        with pytest.raises(RateLimited), slots.taken("anna"):
            pass
        slots.check("ben")
    slots.check("anna")


def test_a_failure_frees_the_slot_and_idle_callers_are_dropped() -> None:
    slots = CallerSlots(1, label="things")
    for address in range(9):
        with pytest.raises(ValueError, match="broken"), slots.taken(f"10.0.0.{address}"):
            raise ValueError("broken")
    assert slots._num_taken == {}
