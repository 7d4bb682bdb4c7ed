"""Who is next."""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from orpheus_server.synthesis.fair_queue import BULK_EVERY, FairQueue, Lane, Waiter


def queue_of(*names: str) -> FairQueue[str]:
    """Names such as `a1` or `A2`: caller a, in the lane of streams or (capital) of files."""
    queue: FairQueue[str] = FairQueue()
    for name in names:
        lane: Lane = "bulk" if name[0].isupper() else "interactive"
        queue.push(Waiter(name[0].lower(), lane, name))
    return queue


def drain(queue: FairQueue[str], *, is_bulk_allowed: bool = True) -> list[str]:
    """Everybody in turn; whoever was called stays in hand."""
    in_hand: Counter[str] = Counter()
    order = []
    while (waiter := queue.pop(in_hand, is_bulk_allowed=is_bulk_allowed)) is not None:
        in_hand[waiter.caller] += 1
        order.append(waiter.item)
    return order


def test_the_oldest_first() -> None:
    assert drain(queue_of("a1", "a2", "a3")) == ["a1", "a2", "a3"]


def test_streams_before_files() -> None:
    assert drain(queue_of("A1", "b2", "A3", "b4")) == ["b2", "b4", "A1", "A3"]


def test_callers_take_turns() -> None:
    """One who floods keeps nobody waiting but itself."""
    assert drain(queue_of("a1", "a2", "a3", "a4", "b1", "c1", "b2")) == [
        *("a1", "b1", "c1"),
        *("a2", "b2", "a3", "a4"),
    ]


def test_who_is_served_now_waits_longer() -> None:
    queue = queue_of("a1", "b1")
    waiter = queue.pop({"a": 2, "b": 1}, is_bulk_allowed=True)
    assert waiter is not None
    assert waiter.item == "b1"


def test_files_may_have_to_wait() -> None:
    queue = queue_of("A1", "b1")
    assert drain(queue, is_bulk_allowed=False) == ["b1"]
    assert (len(queue), queue.num_in("bulk"), queue.num_of("a")) == (1, 1, 1)


def test_one_who_leaves() -> None:
    queue: FairQueue[str] = FairQueue()
    waiter = Waiter("a", "bulk", "x")
    queue.push(waiter)
    queue.remove(waiter)
    queue.remove(waiter)
    assert (len(queue), queue.pop({}, is_bulk_allowed=True)) == (0, None)


def test_how_many_are_before() -> None:
    queue = queue_of("a1", "a2", "a3", "b1", "A4", "C1", "C2")
    assert queue.num_before("a", "interactive") == 4
    assert queue.num_before("b", "interactive") == 3  # a1, b1, a2
    assert queue.num_before("new", "interactive") == 2  # a1, b1
    assert queue.num_before("a", "bulk") == 4 + 3  # all streams, a4, c1, c2
    assert queue.num_before("new", "bulk") == 4 + 2


@given(
    names=st.lists(st.sampled_from(["a", "b", "c", "A", "B", "C"]), max_size=30),
    caller=st.sampled_from("abd"),
)
@example(names=["a", "a", "b", "b", "b", "b", "c", "c", "A"], caller="a")
def test_num_before_is_what_happens(names: list[str], caller: str) -> None:
    """With nobody in hand at the start, for a newcomer of either lane."""
    for own in (caller, caller.upper()):
        queue = queue_of(*names)
        lane: Lane = "bulk" if own.isupper() else "interactive"
        expected = queue.num_before(caller, lane)
        queue.push(Waiter(caller, lane, "newcomer"))
        if lane == "interactive":
            # Now and then it is a file's turn, and one of the caller's own counts for it: the
            # bound that lacked this failed about once in a hundred runs.
            num_files = sum(name.isupper() for name in names)
            num_others = len({name.lower() for name in names} - {caller})
            num_passed = num_files + names.count(caller.upper()) * num_others
            assert drain(queue).index("newcomer") <= expected + num_passed
        else:
            # Streams that were served count for their callers when it is the files' turn.
            assert drain(queue).index("newcomer") <= len(names)


def test_who_makes_room() -> None:
    queue = queue_of("a1", "a2", "b1", "A3")
    waiter = queue.newest_of_largest()
    assert waiter is not None
    assert waiter.item == "A3"
    queue.remove(waiter)
    waiter = queue.newest_of_largest()
    assert waiter is not None
    assert waiter.item == "a2"
    assert queue_of().newest_of_largest() is None


def test_all_newcomers_at_once() -> None:
    queue = queue_of("a1", "A2", "b3")
    queue.push(Waiter("c", "resumed", "c4"))
    assert [waiter.item for waiter in queue.take_newcomers()] == ["a1", "b3", "A2"]
    assert drain(queue) == ["c4"]


def test_who_goes_on_is_first() -> None:
    queue = queue_of("a1", "A2")
    queue.push(Waiter("a", "resumed", "a3"))
    assert drain(queue) == ["a3", "a1", "A2"]


def test_streams_that_keep_coming_do_not_starve_files() -> None:
    queue = queue_of("A1")
    order = []
    for index in range(2, 12):
        queue.push(Waiter("b", "interactive", f"b{index}"))
        waiter = queue.pop({}, is_bulk_allowed=True)
        assert waiter is not None
        order.append(waiter.item)
    assert order.index("A1") == BULK_EVERY - 1
