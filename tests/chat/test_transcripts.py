"""Transcripts of spoken answers: their owner, lifetime and number."""

from orpheus_server.chat.transcripts import TranscriptStore
from tests.support.app import VirtualClock


def test_a_transcript_is_found_repeatedly() -> None:
    transcripts = TranscriptStore(clock=VirtualClock())
    assert transcripts.keep("anna", "audio_1", "Hello you.") == 100 + 3600
    assert [transcripts.find("anna", "audio_1") for _ in range(2)] == ["Hello you."] * 2
    assert transcripts.find("anna", "audio_2") is None


def test_another_caller_cannot_find_it() -> None:
    """An id seen in a log would reveal the answer to another caller."""
    transcripts = TranscriptStore(clock=VirtualClock())
    transcripts.keep("anna", "audio_1", "A secret.")
    assert transcripts.find("ben", "audio_1") is None
    transcripts.keep("ben", "audio_1", "Another.")
    assert transcripts.find("anna", "audio_1") == "A secret."


def test_it_expires_at_the_returned_time() -> None:
    clock = VirtualClock()
    transcripts = TranscriptStore(lifetime_sec=10, clock=clock)
    expires_at = transcripts.keep("anna", "audio_1", "Hello.")
    clock.now_sec = 105.5
    transcripts.keep("anna", "audio_2", "You.")
    clock.now_sec = expires_at - 0.5
    assert transcripts.find("anna", "audio_1") == "Hello."
    clock.now_sec = expires_at
    assert transcripts.find("anna", "audio_1") is None
    assert transcripts.find("anna", "audio_2") == "You."
    assert (len(transcripts), transcripts.num_chars) == (1, 4)


def test_the_oldest_are_dropped_for_newer_ones() -> None:
    transcripts = TranscriptStore(max_transcripts=2, clock=VirtualClock())
    for index in range(4):
        transcripts.keep(f"caller {index}", "audio", str(index))
    found = [transcripts.find(f"caller {index}", "audio") for index in range(4)]
    assert found == [None, None, "2", "3"]


def test_the_oldest_are_dropped_for_longer_ones() -> None:
    transcripts = TranscriptStore(max_chars=10, clock=VirtualClock())
    for name in ("one", "two", "three"):
        transcripts.keep("anna", name, name)
    assert [transcripts.find("anna", name) for name in ("one", "two", "three")] == [
        *(None, "two", "three")
    ]
    assert transcripts.num_chars == 8
    transcripts.keep("anna", "long", "x" * 11)
    assert (len(transcripts), transcripts.num_chars) == (0, 0)


def test_a_transcript_kept_again_is_new() -> None:
    clock = VirtualClock()
    transcripts = TranscriptStore(lifetime_sec=10, max_transcripts=2, clock=clock)
    transcripts.keep("anna", "first", "a")
    transcripts.keep("anna", "second", "b")
    clock.now_sec += 5
    assert transcripts.keep("anna", "first", "aa") == 115
    transcripts.keep("anna", "third", "c")
    assert [transcripts.find("anna", name) for name in ("first", "second", "third")] == [
        *("aa", None, "c")
    ]
    assert transcripts.num_chars == 3
