"""`python -m training.package.sizes`: measures checkpoints of random weights in the real server.

Each candidate runs beside the reference, today's bundled voice, and both are asked in turn. The
largest whose real-time factor and first sound are within the limits is the one to train. Nothing
else may run meanwhile. Each request is closed early: a random model stops by chance only.
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from snac import SNAC
from torch import Tensor, nn

from training.codec.config import LATENTS_PER_FRAME, CodecConfig
from training.errors import TrainingError
from training.files import write_json
from training.language_model.model import LanguageModel, ModelConfig
from training.language_model.vocabulary import Vocabulary
from training.package.build import write_voice
from training.package.description import VoiceDescription
from training.package.sources import VoiceSources
from training.server import Server
from training.settings import ROOT
from training.stage import run_stage

REFERENCE = ROOT / "models" / "pocket"
MAX_REAL_TIME_FACTOR_RATIO = 1.2
MAX_FIRST_SOUND_RATIO = 1.15

DEFAULT_SIZES = (
    *("256x6-1024-448", "256x6-2048-384", "256x6-2048-448", "256x6-2048-512"),
    *("320x6-2048-448", "256x8-2048-448", "256x6-4096-448"),
)
TEXT = "The old man walked slowly along the river, and nobody knew where he wanted to go today."
"""About five seconds: one chunk for every voice, and longer than what is measured."""

BYTES_PER_SEC = 2 * 24_000
MEASURED_SEC = 1.5
"""Sound of each request. A stream that is further than a second ahead of its player is slowed down
by the server (`orpheus_server/synthesis/playback_clock.py`): that is not to be measured."""

MAX_TRIES = 8
"""Of one request: with a thousand codes, one in fifty requests stops that early."""
NUM_MACS_FRAMES = 16


@dataclass(frozen=True, slots=True)
class Size:
    """A candidate: the language model's width and layers, codes a book, the codec's width."""

    hidden_size: int
    num_layers: int
    codebook_size: int
    decoder_dim: int

    def __str__(self) -> str:
        model = f"{self.hidden_size}x{self.num_layers}"
        return f"{model}-{self.codebook_size}-{self.decoder_dim}"


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one request: seconds to the first sound, and seconds for each second of the rest."""

    first_sound_sec: float
    real_time_factor: float


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.package.sizes", description=__doc__)
    parser.add_argument(
        "sizes", nargs="*", default=DEFAULT_SIZES, help="HIDDENxLAYERS-CODES-CODECWIDTH"
    )
    parser.add_argument("--rounds", type=int, default=15, help="requests of each voice")
    parser.add_argument("--json", type=Path, help="where the figures are written as well")
    arguments = parser.parse_args(argv)
    sizes = [parse_size(text) for text in arguments.sizes]
    rows = []
    run_before_all_else()
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        with Server(REFERENCE, logs / "reference.log") as reference:
            for size in sizes:
                checkpoint = logs / str(size)
                row = write_random_voice(checkpoint, size)
                with Server(checkpoint, logs / f"{size}.log") as candidate:
                    row |= compare(reference, candidate, arguments.rounds)
                shutil.rmtree(checkpoint)
                rows.append({"size": str(size), **row})
                print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        write_json(arguments.json, rows)


def run_before_all_else() -> None:
    """Gives this process, but not the servers, a core as soon as bytes arrive, if it may.

    On two cores the servers' engines keep an ordinary client waiting for seconds, and then that is
    measured instead.
    """
    with suppress(PermissionError):
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(1))


def parse_size(text: str) -> Size:
    """Reads HIDDENxLAYERS-CODES-CODECWIDTH. Raises `TrainingError`."""
    try:
        model, codes, codec = text.split("-")
        hidden, layers = model.split("x")
        return Size(int(hidden), int(layers), int(codes), int(codec))
    except ValueError as error:
        raise TrainingError(f"{text!r} is not like 256x6-1024-384") from error


def write_random_voice(folder: Path, size: Size) -> dict[str, float]:
    """Writes a checkpoint with random weights; returns its millions of parameters and of MACs."""
    vocabulary = Vocabulary(("tara",), size.codebook_size)
    config = ModelConfig(
        vocabulary.size,
        hidden_size=size.hidden_size,
        num_layers=size.num_layers,
        intermediate_size=int(size.hidden_size * 2.75) // 16 * 16,
    )
    model = LanguageModel(config)
    model.initialise(seed=0)
    codec_config = CodecConfig(
        codebook_size=size.codebook_size, decoder_dim=size.decoder_dim
    ).to_snac()
    torch.manual_seed(0)
    codec = SNAC(**codec_config)
    codec.encoder = None
    sources = VoiceSources(
        vocabulary=vocabulary,
        language_model=model,
        codec_config=codec_config,
        codec=codec.state_dict(),
        made_from={"seed": 0},
    )
    voices = [VoiceDescription("tara", "en-us", "woman")]
    write_voice(folder, "random", sources, voices, sampling={})
    num_parameters = sum(value.numel() for value in model.llama_weights().values())
    macs = decoder_macs_per_frame(codec.decoder, codec_config["latent_dim"])
    return {
        "language_model_millions": round(num_parameters / 1e6, 2),
        "codec_mmac_per_frame": round(macs / 1e6, 1),
    }


def decoder_macs_per_frame(decoder: nn.Module, latent_dim: int) -> float:
    """Returns the multiplications of a codec's decoder for one frame of 85 ms."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.get_parameter("parametrizations.weight.original1")
        # A transposed convolution uses each weight once for each input position.
        is_transposed = isinstance(module, nn.ConvTranspose1d)
        total += weight.numel() * (inputs[0] if is_transposed else output).shape[-1]

    handles = [
        module.register_forward_hook(count)
        for module in decoder.modules()
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)
    ]
    with torch.no_grad():
        decoder(torch.zeros(1, latent_dim, NUM_MACS_FRAMES * LATENTS_PER_FRAME))
    for handle in handles:
        handle.remove()
    return total / NUM_MACS_FRAMES


def compare(reference: Server, candidate: Server, rounds: int) -> dict[str, float]:
    """Asks both servers in turn; returns the candidate's medians, and their ratios."""
    for server in (reference, candidate):
        request_whole_speech(server)
    timings: dict[Server, list[Timing]] = {reference: [], candidate: []}
    for _ in range(rounds):
        for server, measured in timings.items():
            measured.append(request_whole_speech(server))
    first, factor = {}, {}
    for server, measured in timings.items():
        first[server] = statistics.median(each.first_sound_sec for each in measured)
        factor[server] = statistics.median(each.real_time_factor for each in measured)
    return {
        "first_sound_sec": round(first[candidate], 4),
        "real_time_factor": round(factor[candidate], 4),
        "first_sound_ratio": round(first[candidate] / first[reference], 3),
        "real_time_factor_ratio": round(factor[candidate] / factor[reference], 3),
        "is_within": first[candidate] <= MAX_FIRST_SOUND_RATIO * first[reference]
        and factor[candidate] <= MAX_REAL_TIME_FACTOR_RATIO * factor[reference],
    }


def request_whole_speech(server: Server) -> Timing:
    """Asks until an answer is long enough. Raises `TrainingError` if none is."""
    for _ in range(MAX_TRIES):
        timing = request_speech(server)
        if timing is not None:
            return timing
    raise TrainingError(f"{MAX_TRIES} answers of {server.log} ended early")


def request_speech(server: Server) -> Timing | None:
    """Streams the beginning of an answer and closes it; None if it ends before.

    Raises `TrainingError` if there is no answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = {"input": TEXT, "voice": "tara", "response_format": "pcm"}
    started = time.perf_counter()
    first_sound_sec = 0.0
    num_first_bytes = num_bytes = 0
    try:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/audio/speech", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise TrainingError(f"status {response.status}: {response.read(500)!r}")
        while num_bytes < MEASURED_SEC * BYTES_PER_SEC:
            block = response.read1()
            if not block:
                return None
            num_bytes += len(block)
            if not first_sound_sec:
                first_sound_sec, num_first_bytes = time.perf_counter() - started, len(block)
    finally:
        connection.close()
    rest_sec = time.perf_counter() - started - first_sound_sec
    return Timing(first_sound_sec, rest_sec * BYTES_PER_SEC / (num_bytes - num_first_bytes))


if __name__ == "__main__":
    run_stage(main)
