"""`bench --codec`: this codec and the reference's sliding window on the same codes, in one run."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

import torch

from orpheus_server.bench.machine_card import ServerFacts, read_card
from orpheus_server.bench.offline.codec_bench import (
    FRAMES_PER_SEC,
    UTTERANCE_FRAMES,
    CodecBench,
    CodecLevel,
)
from orpheus_server.bench.report import card_text, json_line


def run(parsed: argparse.Namespace) -> int:
    """Measures and prints; returns the exit status."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        bench = CodecBench(device, num_rounds=parsed.rounds)
    except ImportError as error:
        print(f"orpheus-server: {error}", file=sys.stderr)
        return 1
    card = read_card()
    print(card_text(card, ServerFacts(None, None)))
    minimum = bench.minimum_macs
    print(
        f"codec: published 24 kHz shape, random weights, {device}; at least {minimum / 1e6:.1f} "
        "million multiply-accumulates a frame"
    )
    levels = bench.sweep()
    print(_table(levels, minimum))
    as_shipped = bench.as_shipped()
    ops = bench.count_ops()
    print(
        f"the reference as shipped (a call for each frame): {as_shipped:.1f} ms a frame; "
        f"operations of one call: ours {ops[0]}, reference {ops[1]}"
    )
    many = bench.many_against_single() if device.type == "cpu" else None
    if many is not None:
        print(
            f"16 windows of one frame on 2 threads: {many[0]:.1f} ms in one call, "
            f"{many[1]:.1f} ms in 16 ({many[1] / many[0]:.2f} times)"
        )
    lost = bench.num_frames_lost()
    print(f"frames of a {UTTERANCE_FRAMES}-frame utterance not played: ours 0, reference {lost}")
    best = max(levels, key=lambda level: 1 / level.ours_ms)
    streams = 1000 / (best.ours_ms * FRAMES_PER_SEC)
    print(
        f"streams in real time by the codec alone: {streams:.0f} "
        f"(hop {best.hop}, batch {best.batch}, {best.num_threads} threads)"
    )
    document = {
        "benchmark": "codec",
        "card": asdict(card),
        "device": str(device),
        "minimum_macs": minimum,
        "levels": [asdict(level) for level in levels],
        "reference_as_shipped_ms": as_shipped,
        "ops_per_call": {"ours": ops[0], "reference": ops[1]},
        "sixteen_in_one_call_ms": many and many[0],
        "sixteen_single_calls_ms": many and many[1],
        "reference_frames_lost": lost,
        "utterance_frames": UTTERANCE_FRAMES,
        "codec_streams": streams,
    }
    line = json_line(document)
    if parsed.json is not None:
        parsed.json.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 0


def _table(levels: Sequence[CodecLevel], minimum: int) -> str:
    lines = [
        "threads  hop  batch   ours ms/frame  reference ms/frame  times less   ours MACs  reference"
    ]
    lines += [
        f"{level.num_threads or '-':>7}  {level.hop:>3}  {level.batch:>5}  {level.ours_ms:>14.2f}"
        f"  {level.reference_ms:>18.2f}  {level.ratio:>10.2f}  {level.ours_macs / minimum:>9.2f}x"
        f"  {level.reference_macs / minimum:>8.2f}x"
        for level in levels
    ]
    lines.append("reference: windows of hop + 3 frames, one call of the package for the batch")
    return "\n".join(lines)
