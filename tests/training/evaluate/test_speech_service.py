import io
import wave

import numpy as np

from training.evaluate.speech_service import Counts, parse_log, read_wav

LOG = """\
12:00:00 INFO app: started
12:00:01 INFO speech: request=req_1 caller=- outcome=done voice=slt format=wav chunks=2 attempts=3 \
degraded=1 tokens=500 audio_sec=5.00 queue_sec=0.000 first_bytes_sec=1.2 total_sec=1.30 rtf=0.260
12:00:02 WARNING speech: request=req_2 failed: no audio
12:00:02 INFO speech: request=req_2 caller=- outcome=failed voice=slt format=wav chunks=0 \
attempts=0 degraded=0 tokens=0 audio_sec=0.00 queue_sec=0.000
"""


def test_reads_the_counts_of_requests_from_the_log() -> None:
    assert parse_log(LOG) == {"req_1": Counts(2, 3, 1), "req_2": Counts(0, 0, 0)}


def test_reads_wav() -> None:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(np.array([1, -2], np.int16).tobytes())
    assert read_wav(data.getvalue()).tolist() == [1, -2]
