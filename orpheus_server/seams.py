"""Joins the audio of chunks: over-long silence goes, edges are faded, a short pause stays."""

from collections.abc import Sequence

import numpy as np

from orpheus_server.audio import Samples, empty, fade_edges, trim_edges

MAX_LEAD_SEC = 0.15
MAX_TAIL_SEC = 0.3
"""What stays of a chunk's own silence: a sentence pause is 0.3 to 0.5 s over both sides."""


def smooth_chunk(samples: Samples, *, sample_rate: int) -> Samples:
    """One chunk ready to be put beside others: trimmed and faded at both ends."""
    trimmed = trim_edges(
        samples, sample_rate=sample_rate, max_lead_sec=MAX_LEAD_SEC, max_tail_sec=MAX_TAIL_SEC
    )
    return fade_edges(trimmed, sample_rate=sample_rate)


def join_chunks(chunks: Sequence[Samples], *, sample_rate: int) -> Samples:
    """Chunks one after the other."""
    smooth = [smooth_chunk(chunk, sample_rate=sample_rate) for chunk in chunks]
    return np.concatenate([empty(), *smooth])
