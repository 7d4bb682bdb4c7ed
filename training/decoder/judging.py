"""Judges the whole codec: held-out recordings through encoder, codes and decoder."""

import numpy as np
import torch
from safetensors.torch import save
from snac import SNAC

from training.codec.frozen import load_frozen
from training.codec.judgement import Judge, Judged, Table
from training.codec.renderings import Rendered, Rendering, to_mel_distance
from training.decoder.product import read_codec
from training.files import hash_bytes
from training.folder import TrainingFolder
from training.recipe import read_recipe_hash
from training.states import finished_folder, newest_step


def judge_decoder(folder: TrainingFolder, judge: Judge) -> Table | None:
    """Judges the decoder that is furthest trained. Raises `TrainingError` without one."""
    config, weights = read_codec(folder)
    identity = hash_bytes(save(weights))
    frozen = load_frozen(folder.encoder)
    codec = SNAC(**config).eval()
    codec.load_state_dict(weights, strict=False)

    def through_codec(samples: torch.Tensor) -> Rendered:
        decoded = codec.decoder(frozen.latents(samples).float())[:, 0].clamp(-1.0, 1.0)
        distance = to_mel_distance(frozen.mels(decoded.double()), frozen.mels(samples))
        pcm = np.asarray(np.round(decoded[0].numpy() * 32767), np.int16)
        return Rendered(pcm, distance)

    step = newest_step(finished_folder(folder.decoder))
    made_from = {"decoder": read_recipe_hash(folder.decoder), "encoder": frozen.identity}
    judged = Judged(identity, step, made_from)
    return judge.judge(judged, [Rendering("decoder", identity, through_codec)])
