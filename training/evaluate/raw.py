"""Speaks items without guard and retries: `python -m training.evaluate.raw PLAN.json`.

The plan names the checkpoint, the items, and a folder for each setting. The process has the
engine's memory, so it ends before the server starts.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.engine.reaper import OrphanReaper
from orpheus_server.interfaces import Frame, Samples, SamplingOptions, TokenRequest
from orpheus_server.runtime.hardware import find_hardware
from orpheus_server.runtime.serving_config import resolve_config
from orpheus_server.runtime.speech_stack import SpeechStack, build_speech_stack
from orpheus_server.settings import Settings
from orpheus_server.synthesis.frames import FrameAssembler
from orpheus_server.synthesis.guard import limits_of
from orpheus_server.text.chunking import ChunkLimits, prepare_piece
from orpheus_server.text.front_end import PreparedText
from training.evaluate.faults import find_fault
from training.evaluate.items import Item, item_from_json
from training.evaluate.sampling import Sampling
from training.evaluate.spoken import Spoken, SpokenFolder, to_pcm
from training.files import read_json, write_json
from training.stage import StopRequest, run_stage

BATCH_SIZE = 8
"""Items spoken at once and written together: more gain little speed and lose more at a kill."""

MAX_CHARS = 2000


class RawSpeaker:
    """Generates with the server's own engine, masks and codec, and changes nothing afterwards."""

    def __init__(self, stack: SpeechStack, checkpoint: Checkpoint) -> None:
        self._stack = stack
        self._checkpoint = checkpoint
        self._layout = checkpoint.layout
        self._frame_sec = stack.decoder.samples_per_frame / stack.decoder.sample_rate
        tokens_per_sec = self._layout.num_slots / self._frame_sec
        max_sec = 0.5 * stack.engine.max_model_len / tokens_per_sec
        self._limits = ChunkLimits(MAX_CHARS, min(max_sec, checkpoint.max_audio_sec or max_sec))

    async def speak(self, item: Item, sampling: Sampling) -> Spoken:
        """Speaks an item in one generation, or in as few as its training allows."""
        options = self._checkpoint.sampling.overridden_by(
            temperature=sampling.temperature, top_p=sampling.top_p
        )
        pieces = prepare_piece(item.text, ".", limits=self._limits, front_end=self._stack.front_end)
        parts: list[Samples] = []
        faults: list[str] = []
        num_frames, expected_sec = 0, 0.0
        for index, piece in enumerate(pieces):
            frames, fault = await self._generate(item, index, piece, options)
            parts.append(await self._decode(frames, item.seed))
            faults += [fault] if fault else []
            num_frames += len(frames)
            expected_sec += piece.expected_sec
        result = {
            "faults": faults,
            "num_frames": num_frames,
            "num_pieces": len(parts),
            "expected_sec": expected_sec,
        }
        return Spoken(item, to_pcm(np.concatenate(parts)), result)

    async def _generate(
        self, item: Item, index: int, piece: PreparedText, options: SamplingOptions
    ) -> tuple[list[Frame], str | None]:
        voice = self._checkpoint.find_voice(item.voice)
        assert voice is not None, "items have voices of the checkpoint"
        engine = self._stack.engine
        prompt = self._stack.prompts.build(piece, voice)
        limits = limits_of(piece.expected_sec, self._frame_sec, voice.shortest)
        # The server's own budget: beyond it, it has long stopped.
        budget = (math.ceil(limits.longest) + 1) * self._layout.num_slots
        request = TokenRequest(
            request_id=f"{item.key}-{index}-{options.temperature:g}-{options.top_p:g}",
            prompt_token_ids=prompt.token_ids,
            sampling=options,
            max_tokens=min(budget, engine.max_model_len - len(prompt.token_ids)),
            seed=item.seed + index,
        )
        assembler = FrameAssembler(self._layout)
        frames: list[Frame] = []
        hit_limit = False
        async with aclosing(engine.generate(request)) as deltas:
            async for delta in deltas:
                frames += assembler.feed(delta.token_ids)
                hit_limit = delta.finish_reason == "length"
        return frames, find_fault(frames, limits, hit_token_limit=hit_limit)

    async def _decode(self, frames: Sequence[Frame], noise_seed: int) -> Samples:
        decoder = self._stack.decoder
        utterance = decoder.open_utterance(noise_seed=noise_seed, deadline=lambda _: math.inf)
        return np.concatenate([await utterance.feed(frames), await utterance.flush()])


async def speak_all(
    speaker: RawSpeaker,
    items: Sequence[Item],
    folders: Sequence[tuple[Sampling, Path]],
    is_stopped: Callable[[], bool],
) -> None:
    """Speaks what the folders lack, a batch at a time."""
    for sampling, path in folders:
        folder = SpokenFolder(path)
        missing = folder.missing(items)
        for start in range(0, len(missing), BATCH_SIZE):
            if is_stopped():
                return
            batch = missing[start : start + BATCH_SIZE]
            folder.add(await asyncio.gather(*(speaker.speak(item, sampling) for item in batch)))
            print(f"raw {sampling.name}: {start + len(batch)} of {len(missing)}", flush=True)


def write_plan(
    path: Path,
    checkpoint: Path,
    items: Sequence[Item],
    folders: Sequence[tuple[Sampling, Path]],
) -> None:
    """Writes a plan for `main`."""
    plan = {
        "checkpoint": str(checkpoint),
        "items": [item.to_json() for item in items],
        "folders": [[each.temperature, each.top_p, str(folder)] for each, folder in folders],
    }
    write_json(path, plan)


async def run_plan(plan: dict[str, Any], is_stopped: Callable[[], bool]) -> None:
    """Loads the checkpoint and speaks the plan."""
    # A user's .env is for the server, not for what is compared.
    settings = Settings(_env_file=None, tts_model_name=plan["checkpoint"])  # type: ignore[call-arg]
    config = resolve_config(settings, find_hardware("vllm"))
    stack = build_speech_stack(config, settings)
    try:
        items = [item_from_json(value) for value in plan["items"]]
        folders = [
            (Sampling(temperature, top_p), Path(folder))
            for temperature, top_p, folder in plan["folders"]
        ]
        await speak_all(RawSpeaker(stack, config.checkpoint), items, folders, is_stopped)
    finally:
        await stack.engine.close()
        await stack.decoder.close()
        await stack.pool.close()


def main(arguments: Sequence[str]) -> None:
    """Runs the plan whose file is named."""
    stop = StopRequest()
    stop.listen()
    # Ends the engine's processes if this one is killed.
    reaper = OrphanReaper()
    try:
        asyncio.run(run_plan(read_json(Path(arguments[0])), stop))
    finally:
        reaper.close()


if __name__ == "__main__":
    run_stage(main)
