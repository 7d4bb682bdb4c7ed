"""Writes the held-out utterances and the shards of texts that are missing."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orpheus_server.text.phonemes import build_phonemizer
from training.errors import TrainingError
from training.files import read_json, write_atomically
from training.folder import current_folder
from training.recipe import Recipe, claim
from training.settings import TrainingSettings
from training.texts.corpus import build_corpora
from training.texts.held_out import held_out_utterances
from training.texts.normalising import normalise
from training.texts.recipe import PHONEMIZER, speaker_names, texts_recipe
from training.texts.shard import utterances_of_shard
from training.texts.utterance import Phonemizer
from training.texts.wordnet import read_wordnet

logger = logging.getLogger(__name__)

HELD_OUT_FILE = "held_out.json"


def shard_file(folder: Path, shard_number: int) -> Path:
    return folder / f"{shard_number:05}.json"


def make_texts(
    settings: TrainingSettings,
    *,
    first: int,
    count: int,
    should_stop: Callable[[], bool] = lambda: False,
    build: Callable[[str], Phonemizer] = build_phonemizer,
) -> None:
    """Writes what is missing of the held-out file and of `count` shards from `first` on.

    Raises `TrainingError` if WordNet is missing, or if the folder was made from something else.
    """
    folder = current_folder(settings).texts
    recipe = texts_recipe(settings)
    claim(folder, recipe)
    held_out_file = folder / HELD_OUT_FILE
    shards = [n for n in range(first, first + count) if not _is_made(shard_file(folder, n), recipe)]
    if not shards and _is_made(held_out_file, recipe):
        return
    corpus, held_out_corpus = build_corpora(read_wordnet(settings.wordnet_dir))
    phonemizer = build(PHONEMIZER)
    speakers = speaker_names(settings)
    if not _is_made(held_out_file, recipe):
        held_out = held_out_utterances(held_out_corpus, phonemizer, speakers=speakers)
        _write(held_out_file, recipe, [utterance.to_json() for utterance in held_out])
        logger.info("texts: %d held-out utterances", len(held_out))
    held_out_sentences = {
        normalise(sentence)
        for utterance in read_json(held_out_file)["utterances"]
        for sentence in utterance["sentences"]
    }
    num_made = 0
    for number in shards:
        if should_stop():
            break
        utterances = utterances_of_shard(
            number, corpus, phonemizer, speakers=speakers, held_out_sentences=held_out_sentences
        )
        _write(shard_file(folder, number), recipe, [each.to_json() for each in utterances])
        num_made += 1
    logger.info("texts: %d shards made", num_made)


def _is_made(file: Path, recipe: Recipe) -> bool:
    """Whether a file is there, complete and of this recipe. A file that is cut is made again."""
    if not file.is_file():
        return False
    try:
        return bool(read_json(file)["made_from"] == recipe.hash)
    except TrainingError as error:
        logger.warning("texts: %s; making it again", error)
        return False


def _write(file: Path, recipe: Recipe, utterances: list[dict[str, Any]]) -> None:
    content = {"made_from": recipe.hash, "utterances": utterances}
    write_atomically(file, json.dumps(content, ensure_ascii=False).encode())
