from pathlib import Path

import pytest
import torch

from tests.audio.snac.codecs import random_codec
from tests.training.codec.ears import ScriptedEar, write_held_out
from tests.training.codec.speech import TINY
from tests.training.decoder.killed_stages import freeze
from training.codec.judgement import Judge
from training.decoder.judging import judge_decoder
from training.decoder.product import read_codec, write_codec
from training.errors import TrainingError
from training.files import hash_file, read_json
from training.folder import TrainingFolder
from training.recipe import Recipe, claim
from training.states import state_path


def test_recordings_are_heard_through_the_whole_codec(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    write_held_out(folder)
    freeze(folder)
    judge = Judge(folder, folder.decoder, ScriptedEar())
    with pytest.raises(TrainingError, match="run the stage decoder first"):
        judge_decoder(folder, judge)
    claim(folder.decoder, Recipe("decoder", {}))
    decoder = random_codec(TINY.to_snac()).decoder.state_dict()
    state = {"step": 3, "made_from": "x", "state": {"decoder": decoder}}
    torch.save(state, state_path(folder.decoder, 3))
    table = judge_decoder(folder, judge)
    assert table is not None
    assert list(table) == ["teacher", "decoder"]
    assert table["decoder"]["tara"]["mel_distance"] > 0.1
    (record,) = read_json(folder.decoder / "judged.json")
    assert record["step"] == 3
    assert record["made_from"]["encoder"] == hash_file(folder.encoder)
    write_codec(tmp_path / "codec", *read_codec(folder))
    assert record["identity"] == hash_file(tmp_path / "codec" / "model.safetensors")
