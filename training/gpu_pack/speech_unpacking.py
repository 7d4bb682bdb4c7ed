"""Decodes Opus to speech shards as the stage `decoder` reads them."""

from pathlib import Path

from training.files import read_json
from training.gpu_pack.layout import SAMPLE_RATE, SPEECH_INDEX, opus_path
from training.gpu_pack.libsndfile import OpusDecoder
from training.shards import shard_path, write_shard


def unpack_speech(source: Path, target: Path, decoder: OpusDecoder) -> None:
    """Writes the shards that are missing. They have samples only: the decoder needs no texts."""
    index = read_json(source / SPEECH_INDEX)
    info = {"made_from": index["made_from"], "sample_rate": SAMPLE_RATE, "utterances": []}
    for shard in index["shards"]:
        path = shard_path(target, shard["number"])
        if not path.exists():
            samples = decoder.decode(opus_path(source, shard["number"]), shard["num_samples"])
            write_shard(path, {"samples": samples}, info)
