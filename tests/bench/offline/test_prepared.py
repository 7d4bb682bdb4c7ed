"""The real front end with prepared tokens and samples."""

import numpy as np
import pytest

from orpheus_server.bench.offline.prepared import PreparedBackend, open_synthesizer
from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.fakes import ScriptedEngine, speech_script
from orpheus_server.synthesis.job import SpeechJob, SpeechParams, SpeechStats


@pytest.mark.anyio
async def test_a_request_is_spoken() -> None:
    engine = ScriptedEngine(lambda request: speech_script(ENGLISH.layout, 24))
    backend = PreparedBackend()
    async with open_synthesizer(engine, backend, max_streams=1) as synthesizer:
        plan = await synthesizer.plan("A short sentence.", tags=frozenset())
        params = SpeechParams(
            ENGLISH.default_voice, ENGLISH.sampling, response_format="pcm", seed=1
        )
        job = SpeechJob("r", synthesizer.chunks_of(plan), params)
        spoken = [piece.data async for piece in synthesizer.stream(job, SpeechStats())]
    samples = np.frombuffer(b"".join(spoken), dtype=np.int16)
    assert np.abs(samples).max() > 1000
    assert backend.num_calls > 0
    assert len(engine.requests) == 1
