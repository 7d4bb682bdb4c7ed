import numpy as np

from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.synthesis.frames import to_levels
from training.codec.frames import FRAME_SLOTS, to_books, to_frames


def test_slots_are_those_of_the_server() -> None:
    assert ENGLISH.layout.slot_levels == FRAME_SLOTS


def test_frames_become_books_as_in_the_server_and_back() -> None:
    frames = np.random.default_rng(0).integers(4_096, size=(5, 7)).astype(np.uint16)
    books = to_books(frames)
    assert [book.tolist() for book in books] == to_levels(
        [tuple(int(code) for code in frame) for frame in frames], ENGLISH.layout.slot_levels
    )
    assert to_frames(books).tolist() == frames.tolist()


def test_order_within_a_frame() -> None:
    a, b, c = np.array([0]), np.array([10, 11]), np.array([20, 21, 22, 23])
    assert to_frames([a, b, c]).tolist() == [[0, 10, 20, 21, 11, 22, 23]]
