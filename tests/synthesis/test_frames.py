"""Token ids to frames: no valid code is lost, and no invalid one is returned."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.fakes import frame_ids
from orpheus_server.interfaces import Frame
from orpheus_server.synthesis.frames import FrameAssembler, to_levels, to_token_ids

LAYOUT = ENGLISH.layout
BASE = LAYOUT.audio_token_base
STOP = LAYOUT.stop_token_ids[0]
FRAMES: list[Frame] = [tuple(100 * number + slot for slot in range(7)) for number in (1, 2, 3)]
FIRST, SECOND, THIRD = FRAMES


def ids_of(*frames: Frame) -> list[int]:
    return [token_id for frame in frames for token_id in frame_ids(LAYOUT, frame)]


def token(slot: int, code: int) -> int:
    return BASE + slot * 4096 + code


def assemble(token_ids: Sequence[int]) -> tuple[list[Frame], FrameAssembler]:
    assembler = FrameAssembler(LAYOUT)
    return assembler.feed(token_ids), assembler


def counts(assembler: FrameAssembler) -> tuple[int, int, int]:
    return assembler.num_filled, assembler.num_stray, assembler.num_other


def test_published_ids() -> None:
    """id = 128266 + slot * 4096 + code."""
    ids = [128_266, 132_363, 136_460, 140_557, 144_654, 148_751, 156_937]
    frames, assembler = assemble(ids)
    assert frames == [(0, 1, 2, 3, 4, 5, 4095)]
    assert counts(assembler) == (0, 0, 0)


def test_frames_are_converted_back_to_their_ids() -> None:
    """A generation that resumes after frames needs exactly the ids that were generated."""
    ids = [128_266, 132_363, 136_460, 140_557, 144_654, 148_751, 156_937]
    assert to_token_ids(assemble(ids * 2)[0], LAYOUT) == ids * 2
    assert to_token_ids([], LAYOUT) == []


@pytest.mark.parametrize("slot", range(7))
def test_code_zero_is_valid(slot: int) -> None:
    """`token > 0` in orpheus-speech drops it, and 427 ms of audio with it."""
    frame = tuple(0 if index == slot else 9 for index in range(7))
    assert assemble(ids_of(FIRST, frame, SECOND))[0] == [FIRST, frame, SECOND]


def test_code_4096_is_never_returned() -> None:
    """`> 4096` in orpheus-speech accepts it, but the codebook has only 4,096 rows."""
    last = token(6, 4095)
    assert assemble([*ids_of(FIRST)[:6], last])[0] == [(*FIRST[:6], 4095)]
    frames, assembler = assemble([*ids_of(FIRST)[:6], last + 1])
    assert frames == []
    assert counts(assembler) == (0, 0, 1)
    # In every other slot the id after the last code is the next slot's code 0.
    assert assemble([token(0, 4096), *ids_of(FIRST)[2:]])[0] == [(0, 0, *FIRST[2:])]


@pytest.mark.parametrize("lost", range(7))
def test_a_missing_token_costs_one_code(lost: int) -> None:
    """With a running count, all later tokens move by one slot, and four windows are lost."""
    ids = ids_of(FIRST, SECOND, THIRD)
    del ids[7 + lost]
    repaired = (*SECOND[:lost], FIRST[lost], *SECOND[lost + 1 :])
    frames, assembler = assemble(ids)
    assert frames == [FIRST, repaired, THIRD]
    assert counts(assembler) == (1, 0, 0)


@pytest.mark.parametrize("doubled", range(7))
def test_an_extra_token_costs_at_most_a_filled_frame(doubled: int) -> None:
    """A second token of slot 0 turned the first into a frame with six filled codes."""
    ids = ids_of(FIRST, SECOND, THIRD)
    ids.insert(8 + doubled, token(doubled, 7))
    frames, assembler = assemble(ids)
    if doubled == 0:
        assert frames == [FIRST, (7, *SECOND[1:]), THIRD]
        assert counts(assembler) == (0, 1, 0)
    elif doubled == 6:
        # Its frame is complete, so it looks like a frame that lost all tokens but its last.
        assert frames == [FIRST, SECOND, (*SECOND[:6], 7), THIRD]
        assert counts(assembler) == (6, 0, 0)
    else:
        assert frames == [FIRST, SECOND, THIRD]
        assert counts(assembler) == (0, 1, 0)


@pytest.mark.parametrize(
    ("place", "wrong_slot", "expected"),
    [
        (1, 5, [FIRST, (200, 101, 102, 103, 104, 7, 206), THIRD]),
        (3, 1, [FIRST, (200, 201, 202, 103, 204, 205, 206), THIRD]),
        (0, 1, [FIRST, (100, 7, 202, 203, 204, 205, 206), THIRD]),
        (6, 0, [FIRST, (200, 201, 202, 203, 204, 205, 106), THIRD]),
        (1, 0, [FIRST, (7, 101, 202, 203, 204, 205, 206), THIRD]),
        (
            2,
            6,
            [FIRST, (200, 201, 102, 103, 104, 105, 7), (200, 201, 102, 203, 204, 205, 206), THIRD],
        ),
    ],
)
def test_a_token_of_the_wrong_slot_affects_only_its_frame(
    place: int, wrong_slot: int, expected: list[Frame]
) -> None:
    ids = ids_of(FIRST, SECOND, THIRD)
    ids[7 + place] = token(wrong_slot, 7)
    assert assemble(ids)[0] == expected


def test_a_lost_frame_end_is_filled_from_the_frame_before() -> None:
    ids = ids_of(FIRST, SECOND)[:9] + ids_of(THIRD)
    frames, assembler = assemble(ids)
    assert frames == [FIRST, (*SECOND[:2], *FIRST[2:]), THIRD]
    assert counts(assembler) == (5, 0, 0)


def test_codes_missing_in_the_first_frame_are_zero() -> None:
    assert assemble(ids_of(FIRST)[3:])[0] == [(0, 0, 0, *FIRST[3:])]


def test_control_tokens_are_ignored_and_stops_are_not_counted() -> None:
    """The pad and start tokens below id 128266 were read as codes below 0."""
    controls = [128_257, 128_261, 128_263, 128_265, 0, -1, 10**9]
    ids = [*controls, *ids_of(FIRST)[:3], *controls, *ids_of(FIRST)[3:], STOP, 128_009]
    frames, assembler = assemble(ids)
    assert frames == [FIRST]
    assert counts(assembler) == (0, 0, 2 * len(controls))


NEAR_AUDIO = st.integers(BASE - 20, LAYOUT.audio_token_end + 20)


@given(st.lists(NEAR_AUDIO | st.integers() | st.sampled_from(ids_of(*FRAMES))))
def test_any_ids_give_complete_valid_frames(token_ids: list[int]) -> None:
    frames, assembler = assemble(token_ids)
    assert all(len(frame) == 7 for frame in frames)
    assert all(0 <= code < 4096 for frame in frames for code in frame)
    num_stops = sum(token_id in LAYOUT.stop_token_ids for token_id in token_ids)
    num_placed = len(token_ids) - num_stops - assembler.num_stray - assembler.num_other
    num_left = num_placed + assembler.num_filled - 7 * len(frames)
    assert 0 <= num_left < 7


@given(st.data(), st.lists(st.tuples(*[st.integers(0, 4095)] * 7), max_size=8))
def test_any_split_gives_the_same_frames(data: st.DataObject, frames: list[Frame]) -> None:
    ids = [*ids_of(*frames), STOP]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=6)))
    assembler = FrameAssembler(LAYOUT)
    out: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        out += assembler.feed(ids[start:end])
    assert out == frames
    assert counts(assembler) == (0, 0, 0)


def test_levels_are_in_the_order_of_orpheus_speech() -> None:
    """`decoder.py`: slot 0; slots 1 and 4; slots 2, 3, 5 and 6."""
    assert to_levels([FIRST, SECOND], LAYOUT.slot_levels) == [
        [100, 200],
        [101, 104, 201, 204],
        [102, 103, 105, 106, 202, 203, 205, 206],
    ]
    assert to_levels([], LAYOUT.slot_levels) == [[], [], []]


def test_a_frame_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        to_levels([(1, 2, 3)], LAYOUT.slot_levels)
