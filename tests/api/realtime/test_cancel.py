"""The event `cancel`, during speech and at other times."""

import asyncio

from orpheus_server.synthesis.synthesizer import LIVE_LOOK_AHEAD
from tests.support.app import held_script, short_script
from tests.support.realtime import CANCEL, DONE, FRAME_BYTES, SENTENCE, Session, delta, usage
from tests.support.served import wait_until


class TestCancel:
    def hold(self, session: Session, num_chunks: int, *, num_frames: int) -> None:
        held = held_script(short_script(60), asyncio.Event(), num_free_frames=num_frames)
        session.server.engine.enqueue(*[held] * num_chunks)

    def test_during_speech(self, session: Session) -> None:
        """No audio is sent after it, and the engine is free immediately."""
        self.hold(session, LIVE_LOOK_AHEAD, num_frames=10)
        session.start()
        session.send(delta(f"{SENTENCE} " * 8), DONE)
        session.until("chunk.start")
        num_bytes = 0
        while num_bytes < 9 * FRAME_BYTES:
            num_bytes += len(session.receive())
        engine = session.server.engine
        wait_until(lambda: engine.num_active == LIVE_LOOK_AHEAD)
        session.send(CANCEL)
        received = session.until("audio.done")
        assert (engine.num_active, engine.num_aborted) == (0, LIVE_LOOK_AHEAD)
        num_bytes += sum(len(each) for each in received if isinstance(each, bytes))
        assert received[-1] == {
            "type": "audio.done",
            "utterance": 0,
            # Only finished chunks count, and none has finished.
            "usage": usage(0, 0),
            "num_samples": num_bytes // 2,
            "degraded_chunks": [],
            "num_left_out": 0,
            "is_cancelled": True,
        }
        session.check_alive()

    def test_before_the_first_audio_and_before_the_end_of_the_text(self, session: Session) -> None:
        self.hold(session, 1, num_frames=0)
        session.start()
        session.send(delta(f"{SENTENCE} And"))
        wait_until(lambda: session.server.engine.num_active == 1)
        session.send(CANCEL)
        (done,) = session.until("audio.done")
        assert isinstance(done, dict)
        assert (done["utterance"], done["num_samples"], done["is_cancelled"]) == (0, 0, True)
        session.check_alive()

    def test_with_waiting_utterances(self, session: Session) -> None:
        self.hold(session, 1, num_frames=0)
        session.start()
        session.send(delta(SENTENCE), DONE, delta(SENTENCE), DONE, delta("Hel"))
        wait_until(lambda: session.server.engine.num_active == 1)
        session.send(CANCEL)
        cancelled = [session.receive() for _ in range(3)]
        assert [
            (each["type"], each["utterance"], each["is_cancelled"])
            for each in cancelled
            if isinstance(each, dict)
        ] == [("audio.done", index, True) for index in range(3)]
        session.check_alive()

    def test_with_nothing_to_cancel(self, session: Session) -> None:
        session.send(CANCEL)
        session.start()
        session.send(CANCEL)
        session.check_alive()
        session.send(CANCEL, CANCEL)
        session.check_alive()
