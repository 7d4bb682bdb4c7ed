"""Prompts: training and server write the same ids for the same text."""

import random
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.synthesis.prompts import PromptBuilder, load_tokenizer
from orpheus_server.text.front_end import PhonemeFrontEnd
from orpheus_server.text.phonemes import GruutPhonemizer, build_phonemizer
from tests.training.package.voices import VOCABULARY, VOICES, random_sources
from training.package.build import write_voice

TEXTS = (
    "Yes.",
    "No!",
    "Hello?",
    "Good morning, how are you?",
    "The quick brown fox jumps over the lazy dog.",
    "It costs $5.50, or 12 euros; that is 3% more than in 1999.",
    "Dr. Smith lives at 221B Baker Street.",
    "On 1/2/2020 at 4:30 pm, the 3rd of five meetings began.",
    "Wait… what?",
    "She said: “I don't know.” Then she left.",
    "A well-known, state-of-the-art machine.",
    "Zxqvor and Brkl met in Llanfairpwll.",
    "NASA and the BBC agree.",
    "1 + 1 = 2",
    "café, naïve, façade",
    "One sentence. Another one! A third?",
    "The temperature is -3 °C.",
    "e.g. this, i.e. that",
    "Call 555-0123 now!",
    "He reads what she read.",
    "A tear in the tear-stained dress.",
    "no stop at the end",
    "commas, in, between",
    "   spaces    everywhere   ",
    "UPPER CASE WORDS",
    "1234567890123456789",
    "“Quoted.”",
    "It's 7 o'clock; isn't it?",
    "x, y and z",
    "Mr. and Mrs. Jones' children's toys",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts") / "voice"
    write_voice(folder, "tiny", random_sources(), VOICES, sampling={})
    return folder


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return load_speech_json(folder)


@pytest.fixture(scope="module")
def phonemizer(checkpoint: Checkpoint) -> GruutPhonemizer:
    return build_phonemizer(checkpoint.text_frontend)


def assert_equal_prompts(
    texts: Iterable[str], folder: Path, checkpoint: Checkpoint, phonemizer: GruutPhonemizer
) -> None:
    builder = PromptBuilder(checkpoint, load_tokenizer(folder))
    front_end = PhonemeFrontEnd(phonemizer)
    for number, text in enumerate(texts):
        voice = checkpoint.voices[number % len(checkpoint.voices)]
        served = builder.build(front_end.prepare(text), voice)
        # As the texts stage stores it.
        symbols = phonemizer.phonemize(text).symbols
        assert served.num_dropped_symbols == 0
        assert list(served.token_ids) == VOCABULARY.prompt_ids(voice.name, symbols), text


def test_prompts_are_equal(
    folder: Path, checkpoint: Checkpoint, phonemizer: GruutPhonemizer
) -> None:
    assert len(TEXTS) == 30
    assert_equal_prompts(TEXTS, folder, checkpoint, phonemizer)


@pytest.mark.slow
def test_prompts_of_a_thousand_texts_are_equal(
    folder: Path, checkpoint: Checkpoint, phonemizer: GruutPhonemizer
) -> None:
    beginnings = ("The", "A", "Every", "No", "Perhaps the", "Tomorrow one", "Mr.", "In 1984 the")
    nouns = ("dog", "Zxqvor", "children", "$3.20", "twenty-first", "NASA", "o'clock", "café")
    verbs = ("runs", "didn't see", "costs 5%", "reads", "ends at 4:30", "is re-made", "left", "=")
    ends = (".", "!", "?", ", you know.", " … and then?", "; so what!", " (twice).", "")
    texts = [
        f"{beginning} {noun} {verb} {number}{end}"
        for number, (beginning, noun, verb, end) in enumerate(
            product(beginnings, nouns, verbs, ends)
        )
    ]
    chosen = random.Random(0).sample(texts, 1000)
    assert_equal_prompts(chosen, folder, checkpoint, phonemizer)
