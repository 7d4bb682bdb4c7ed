"""How long the rest of a download takes."""

from orpheus_server.checkpoints.download import Download
from tests.support.app import VirtualClock


def test_nothing_is_being_downloaded() -> None:
    download = Download(VirtualClock())
    assert (download.num_bytes_left, download.left_sec) == (0, 0.0)


def test_the_rest_takes_as_long_as_the_rate_so_far_says() -> None:
    clock = VirtualClock()
    download = Download(clock)
    clock.advance(10)
    download.add_fetched(200)
    download.add_written(200, total_bytes=1000)
    assert (download.num_bytes_left, download.left_sec) == (800, 40.0)
    # A download that stands still takes longer and longer.
    clock.advance(10)
    assert download.left_sec == 80.0


def test_files_that_begin_later_are_added() -> None:
    clock = VirtualClock()
    download = Download(clock)
    clock.advance(1)
    download.add_fetched(100)
    download.add_written(100, total_bytes=200)
    download.add_written(0, total_bytes=500)
    assert (download.num_bytes_left, download.left_sec) == (400, 4.0)


def test_bytes_of_an_earlier_download_do_not_count_for_the_rate() -> None:
    """A download that was resumed seemed to be as quick as reading its file."""
    clock = VirtualClock()
    download = Download(clock)
    download.add_written(900, total_bytes=1000)
    assert (download.num_bytes_left, download.left_sec) == (100, 0.0)
    clock.advance(5)
    download.add_fetched(10)
    download.add_written(10, total_bytes=1000)
    assert (download.num_bytes_left, download.left_sec) == (90, 45.0)


def test_the_next_download_has_a_rate_of_its_own() -> None:
    clock = VirtualClock()
    download = Download(clock)
    clock.advance(100)
    download.add_fetched(1)
    download.add_written(1, total_bytes=2)
    download.reset()
    assert (download.num_bytes_left, download.left_sec) == (0, 0.0)
    clock.advance(1)
    download.add_fetched(10)
    download.add_written(10, total_bytes=30)
    assert download.left_sec == 2.0
